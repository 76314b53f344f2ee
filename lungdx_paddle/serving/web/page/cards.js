// A card for each nodule: both tasks' answers, what was measured, what is doubtful.

const make = (tag, props = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), props);
  element.append(...children.filter(Boolean));
  return element;
};

const percent = (p) => `${Math.round(100 * p)} %`;

function answerOf(task, given, model) {
  if (task !== "malignancy") return given.class;
  return `level ${given.level} of ${model.levels.length}, ${model.levels[given.level - 1]}`;
}

function bars(task, given, model) {
  const rows = given.probabilities.flatMap((p, k) => {
    const name = model.tasks[task][k];
    const isBest = name === String(given.level ?? given.class);
    const text = task === "malignancy" ? `${name} ${model.levels[Number(name) - 1]}` : name;
    return [make("b", { className: isBest ? "best" : "" }, text),
      make("meter", { max: 1, value: p, ariaLabel: `${task} ${text}` }), make("span", {}, percent(p))];
  });
  return make("div", { className: "bars" }, ...rows);
}

// A score on patients that the model has not seen, with its interval.
function known(scores, key, name) {
  if (!scores[key]?.interval) return "";
  const [value, low, high] = [scores[key].value, ...scores[key].interval].map((n) => Number(n).toFixed(2));
  return `${name} ${value} (${low} to ${high})`;
}

const SCORES = {
  malignancy: ["malignancy_quadratic_kappa_by_nodule", "kappa with the readers"],
  pathology: ["diagnosis_auc_by_patient", "AUC"],
};

// Of these scores.
const CHANCE = { malignancy: 0, pathology: 0.5 };

// Whether a score on unseen patients is there, and its interval does not lie above chance.
function isUnproven(task, scores) {
  const low = scores[SCORES[task][0]]?.interval?.[0];
  return low !== undefined && Number(low) <= CHANCE[task];
}

function taskOf(task, finding, model, before) {
  const given = finding[task];
  const score = known(model.scores, ...SCORES[task]);
  const notes = [
    given.expected_level === undefined ? "" : `expected level ${given.expected_level.toFixed(2)}`,
    score && `on unseen patients: ${score}`,
    isUnproven(task, model.scores) && "not shown to be better than chance",
  ].filter(Boolean).join(" · ");
  const was = before && answerOf(task, before[task], model);
  const now = answerOf(task, given, model);
  return make("div", { className: isUnproven(task, model.scores) ? "task unproven" : "task" },
    make("h4", {}, `${task[0].toUpperCase()}${task.slice(1)}: ${now}`),
    notes && make("p", {}, notes),
    was && make("p", { className: "before" }, was === now ? "as found: the same" : `as found: ${was}`),
    bars(task, given, model));
}

function measures(finding) {
  const [, , slice] = finding.place_px;
  const size = `${finding.diameter_mm} mm · ${finding.volume_mm3} mm³ · ${Math.round(finding.mean_hu)} HU`;
  const slices = `slice ${slice + 1}, ${finding.slices} ${finding.slices === 1 ? "slice" : "slices"}`;
  const how = { point: "found at a point", drawn: "drawn" }[finding.marked_by] || `by ${finding.marked_by}`;
  return [make("p", {}, size), make("p", {}, `${slices} · ${how}`)];
}

// What a card that is not chosen says: the answers, and how much is doubtful.
function summary(finding, tasks, model) {
  const doubts = finding.warnings?.length || 0;
  const answers = tasks.map((task) => answerOf(task, finding[task], model)).join(" · ");
  return [make("p", { className: "summary" }, answers),
    doubts && make("p", { className: "warnings" }, doubts === 1 ? "1 doubt" : `${doubts} doubts`)];
}

// A list item, in full where it is chosen; `act` is called with go, zoom or remove.
export function card({ finding, before, crop }, isChosen, model, act) {
  const tasks = Object.keys(model.tasks).filter((task) => finding[task]);
  const name = `Nodule ${finding.nodule}`;
  const button = (text, what) => make("button", { ariaLabel: `${text} ${name.toLowerCase()}`, onclick: (event) => {
    event.stopPropagation();
    act(what);
  } }, text);
  const item = make("li", { className: isChosen ? "chosen" : "", onclick: () => act("go") },
    make("div", { className: "head" },
      make("img", { src: crop, alt: "what the model sees: the crop of the middle slice", width: 64, height: 64 }),
      make("div", {}, make("h3", {}, name), ...measures(finding))),
    ...(isChosen
      ? [...tasks.map((task) => taskOf(task, finding, model, before)),
        make("ul", { className: "warnings" }, ...(finding.warnings || []).map((text) => make("li", {}, text)))]
      : summary(finding, tasks, model)),
    make("div", { className: "row" }, button("Zoom to", "zoom"), button("Remove", "remove")));
  item.setAttribute("aria-current", String(isChosen));
  return item;
}

// What the model is, and how well it does on patients that it has not seen.
export function about(model) {
  const { scores, window: hu } = model;
  const how = model.calibrated
    ? "Calibrated out of fold: probabilities by a temperature, the level by cuts of the expected level."
    : "Not calibrated: the probabilities are the network's own, and too sure.";
  const keys = [...Object.values(SCORES), ["malignancy_within_one_by_nodule", "within one level of the readers"]];
  const rows = keys.map(([key, name]) => known(scores, key, `${key.split("_")[0]}: ${name}`)).filter(Boolean);
  return [
    make("p", { className: "small" }, `${model.name}, lungdx ${model.version}, ${model.runtime}. `
      + `Window ${hu.center}, ${hu.width} HU; crops by the rule ${model.crop_rule}. ${how}`),
    ...(rows.length ? [
      make("p", { className: "small" }, `On unseen patients (${scores.part}), with 95 % intervals:`),
      make("ul", { className: "small" }, ...rows.map((text) => make("li", {}, text)))] : []),
  ];
}
