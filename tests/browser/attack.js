// What a hostile page does: every way a browser has of sending a write for it, those that ask first
// among them, and every way of reading. `report` says what the page could read of the answers.

const TYPES = ["application/json", "application/cloudevents+json", "text/plain"];

// Sent without asking: methods and types that a form could have.
function simple(url, body) {
  const post = (how) => fetch(url, { method: "POST", mode: "no-cors", ...how });
  const form = new FormData();
  form.set("body", body);
  return {
    text: () => post({ body }),
    nothing: () => post({}),
    bytes: () => post({ body: new TextEncoder().encode(body) }),
    parameters: () => post({ body: new URLSearchParams({ body }) }),
    multipart: () => post({ body: form }),
    blob: () => post({ body: new Blob([body]) }),
    "blob of JSON": () => post({ body: new Blob([body], { type: "application/json" }) }),
    "type of JSON": () => post({ body, headers: { "content-type": "application/json" } }),
    "no type": () => post({ body, headers: { "content-type": "" } }),
    credentials: () => post({ body, credentials: "include" }),
    "kept alive": () => post({ body, keepalive: true }),
    "no referrer": () => post({ body, referrerPolicy: "no-referrer" }),
    beacon: () => void navigator.sendBeacon(url, body),
    "beacon of bytes": () => void navigator.sendBeacon(url, new TextEncoder().encode(body)),
    "beacon of a blob": () => void navigator.sendBeacon(url, new Blob([body])),
    "beacon of a form": () => void navigator.sendBeacon(url, form),
    "XHR of text": () => xhr("POST", url, body),
    "XHR of a blob": () => xhr("POST", url, new Blob([body])),
  };
}

// Sent after asking, which has to be refused.
function asked(method, url, body) {
  const ways = {};
  for (const type of TYPES) {
    ways[`CORS of ${type}`] = () => fetch(url, { method, body, headers: { "content-type": type } });
  }
  ways["CORS of a header"] = () => fetch(url, { method, headers: { "ce-specversion": "1.0", "ce-id": "1" } });
  ways["XHR of JSON"] = () => xhr(method, url, body, "application/json");
  ways["beacon of JSON"] = () =>
    void navigator.sendBeacon(url, new Blob([body], { type: "application/json" }));
  return ways;
}

function xhr(method, url, body, type) {
  return new Promise((done, failed) => {
    const request = new XMLHttpRequest();
    request.open(method, url);
    if (type) request.setRequestHeader("content-type", type);
    request.onload = () => done(new Response(request.responseText));
    request.onerror = () => failed(new TypeError("failed"));
    request.send(body);
  });
}

const ENCODINGS = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"];

// A form whose body is `body`, as far as its encoding allows: text/plain writes `name=value`.
function form(url, body, encoding, target) {
  const form = document.createElement("form");
  Object.assign(form, { action: url, method: "POST", enctype: encoding, target });
  const field = document.createElement("input");
  const cut = body.lastIndexOf("}");
  Object.assign(field, { type: "hidden", name: `${body.slice(0, cut)},"x":"`, value: `"}` });
  if (cut > 1) form.append(field);
  document.body.append(form);
  form.submit();
  return form;
}

function framed(fill) {
  return new Promise((done) => {
    const frame = document.createElement("iframe");
    frame.name = `frame-${Math.random()}`;
    document.body.append(frame);
    frame.onload = () => done(frame);
    fill(frame);
  });
}

async function report(what, way, found) {
  try {
    const answer = await way();
    // What is opaque has no status, no header and no body.
    if (answer && answer.type !== "opaque") found.push(`${what}: ${answer.status} ${await answer.text()}`);
  } catch {
    // Nothing can be read.
  }
}

// Sends all writes in all ways; answers what could be read.
async function attackWrites(base, writes) {
  const found = [];
  for (const { method, path, body } of writes) {
    const url = base + path;
    const ways = method === "POST" ? { ...simple(url, body), ...asked(method, url, body) } : asked(method, url, body);
    const sent = Object.entries(ways).map(([way, send]) => report(`${method} ${path}, ${way}`, send, found));
    const forms = (method === "POST" ? ENCODINGS : []).map(async (encoding) => {
      const frame = await framed((frame) => form(url, body, encoding, frame.name));
      frame.remove();
    });
    await Promise.all([...sent, ...forms]);
  }
  return found;
}

function element(kind, fields) {
  return new Promise((done) => {
    const made = Object.assign(document.createElement(kind), fields);
    made.onload = () => done(true);
    made.onerror = () => done(false);
    document.body.append(made);
  });
}

function opened(made) {
  return new Promise((done) => {
    const end = (is) => (made.close(), done(is));
    made.onopen = made.onmessage = () => end(true);
    made.onerror = () => end(false);
  });
}

// Reads all paths in all ways; answers what could be read, or told from an answer that is none.
async function attackReads(base, paths, stream) {
  const found = [];
  for (const path of paths) {
    const url = base + path;
    await report(`GET ${path}`, () => fetch(url), found);
    await report(`GET ${path}, opaque`, () => fetch(url, { mode: "no-cors" }), found);
    await report(`XHR ${path}`, () => xhr("GET", url), found);
    for (const [kind, fields] of [
      ["img", { src: url }],
      ["script", { src: url }],
      ["link", { rel: "stylesheet", href: url }],
    ]) {
      if (await element(kind, fields)) found.push(`${kind} of ${path} was loaded`);
    }
  }
  if (await opened(new EventSource(base + stream))) found.push("an event stream was opened");
  const socket = new WebSocket(base.replace("http", "ws") + stream);
  if (await opened(socket)) found.push("a socket was opened");
  return found;
}
