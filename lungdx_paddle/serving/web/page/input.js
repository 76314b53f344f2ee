// Mouse, touch and keys on the canvas -> what the user wants. `on` has a function for each wish.

const CLICK_PX = 5; // a finger or a hand moves that far in a click
const WHEEL_PX = 100; // a notch of a wheel has 100 or 120, a touchpad sends many small ones
const WHEEL_UNITS = [1, 34, 400]; // pixels, lines (3 a notch), pages
const SWIPE_PX = 14; // of a finger, for a slice

export function listen(view, on) {
  const canvas = view.canvas;
  const pointers = new Map();
  let start = null; // {at, slice, tool, last, moved}
  let rolled = 0;

  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    if (event.ctrlKey || event.metaKey) {
      view.zoomAt(Math.exp(-event.deltaY / 300), view.toSlice(event));
      return;
    }
    const pixels = event.deltaY * WHEEL_UNITS[event.deltaMode];
    rolled = Math.sign(pixels) === Math.sign(rolled) ? rolled + pixels : pixels;
    const slices = Math.trunc(rolled / WHEEL_PX);
    if (slices) on.scroll(-slices);
    rolled -= slices * WHEEL_PX;
  }, { passive: false });

  canvas.addEventListener("contextmenu", (event) => event.preventDefault());

  canvas.addEventListener("pointerdown", (event) => {
    canvas.focus({ preventScroll: true });
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, event);
    if (pointers.size === 2) { // a pinch
      start = null;
      on.draw(null);
      return;
    }
    const slice = view.toSlice(event);
    start = { at: event, slice, last: event, moved: false, swiped: 0, path: [slice], button: event.button };
  });

  canvas.addEventListener("pointermove", (event) => {
    if (!pointers.has(event.pointerId)) return;
    if (pointers.size === 2) pinch(event);
    pointers.set(event.pointerId, event);
    if (!start) return;
    const [dx, dy] = [event.clientX - start.last.clientX, event.clientY - start.last.clientY];
    start.moved ||= Math.hypot(event.clientX - start.at.clientX, event.clientY - start.at.clientY) > CLICK_PX;
    if (!start.moved) return;
    start.last = event;
    const tool = on.tool();
    if (start.button === 2) on.window(dx, dy);
    else if (tool === "circle") on.draw("circle", [start.slice, view.toSlice(event)]);
    else if (tool === "draw") on.draw("path", start.path = [...start.path, view.toSlice(event)]);
    else if (view.zoom > 1 || event.pointerType === "mouse") view.move(dx, dy);
    else swipe(dy);
  });

  const end = (event) => {
    pointers.delete(event.pointerId);
    const done = start;
    start = null;
    if (!done || event.type === "pointercancel") return on.draw(null);
    const tool = on.tool();
    if (!done.moved && done.button === 0) on.click(done.slice);
    else if (done.moved && done.button === 0 && tool === "circle") on.drawn("circle", [done.slice, view.toSlice(event)]);
    else if (done.moved && done.button === 0 && tool === "draw") on.drawn("path", done.path);
  };
  canvas.addEventListener("pointerup", end);
  canvas.addEventListener("pointercancel", end);

  function swipe(dy) {
    start.swiped += dy;
    const slices = Math.trunc(start.swiped / SWIPE_PX);
    if (slices) on.scroll(-slices);
    start.swiped -= slices * SWIPE_PX;
  }

  function pinch(event) {
    const [one, other] = [...pointers.values()];
    const still = one.pointerId === event.pointerId ? other : one;
    const before = pointers.get(event.pointerId);
    const apart = (a) => Math.hypot(a.clientX - still.clientX, a.clientY - still.clientY);
    view.zoomAt(apart(event) / Math.max(1, apart(before)), view.toSlice(still));
    view.move((event.clientX - before.clientX) / 2, (event.clientY - before.clientY) / 2);
  }

  document.addEventListener("keydown", (event) => {
    const inField = event.target.closest("input, select, textarea");
    const onButton = event.target.closest("button, a, summary, label") && ["Enter", " "].includes(event.key);
    if (!view.series || inField || onButton || event.ctrlKey || event.metaKey) return;
    const arrows = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };
    const arrow = arrows[event.key];
    if (arrow && event.shiftKey) on.cross(...arrow.map((step) => step * (event.altKey ? 1 : 8)));
    else if (arrow && arrow[1]) on.scroll(-arrow[1]);
    else if (!on.key(event.key)) return;
    event.preventDefault();
  });
}
