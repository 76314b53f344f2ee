// Requests to the server that this page came from; every failure is an Error with one sentence.

async function answer(response) {
  if (response.ok) return response;
  let sentence = `the server answered ${response.status}`;
  try { sentence = (await response.json()).detail || sentence; } catch { /* no JSON */ }
  throw new Error(sentence);
}

async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("the server cannot be reached: has it ended?");
  }
  return answer(response);
}

export async function json(path, body, method = "POST") {
  const options = body === undefined ? {} : {
    method, headers: { "content-type": "application/json" }, body: JSON.stringify(body),
  };
  return (await ask(path, options)).json();
}

export async function picture(path, signal) {
  const response = await ask(path, { signal });
  return createImageBitmap(await response.blob());
}

export const file = async (path) => (await ask(path)).blob();

export const remove = (path) => ask(path, { method: "DELETE", keepalive: true });

// fetch tells nothing of the bytes that are on their way; XMLHttpRequest does.
export function upload(path, files, progress) {
  const form = new FormData();
  for (const one of files) form.append("files", one, one.name);
  return new Promise((done, failed) => {
    const request = new XMLHttpRequest();
    request.open("POST", path);
    request.upload.onprogress = (event) => progress(event.loaded / event.total);
    request.onerror = () => failed(new Error("the upload broke off: too large, or the server has ended"));
    request.onload = () => {
      let found = {};
      try { found = JSON.parse(request.responseText); } catch { /* no JSON */ }
      if (request.status < 300) done(found);
      else failed(new Error(found.detail || `the server answered ${request.status}`));
    };
    request.send(form);
  });
}

// The files of what was dropped, those of folders too.
export async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...transfer.files];
  const found = [];
  while (entries.length) {
    const entry = entries.shift();
    if (entry.isFile) {
      found.push(await new Promise((done, failed) => entry.file(done, failed)));
      continue;
    }
    const reader = entry.createReader();
    for (;;) { // a folder is read some hundred entries at a time
      const some = await new Promise((done, failed) => reader.readEntries(done, failed));
      if (!some.length) break;
      entries.push(...some);
    }
  }
  return found;
}
