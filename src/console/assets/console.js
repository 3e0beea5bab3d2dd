// What pages of the console do beyond showing: refreshing, times, copying, keys. Without it they work.
import { Idiomorph } from "./idiomorph.js";

const body = document.body;
const root = body.dataset.root ?? "/";

/** @param {string} name @param {string} value Kept for a year, for every page. */
function keep(name, value) {
  document.cookie = `milkrun-${name}=${value}; Path=${root}; Max-Age=31536000; SameSite=Lax`;
}

/** @template {HTMLElement} T @param {string} id @returns {T} */
function byId(id) {
  return /** @type {T} */ (document.getElementById(id));
}

// ---- refreshing

let every = Number(body.dataset.refresh);
let updated = Date.now();
let failures = 0;
let paused = false;
let busy = false;
let due = updated + every * 1000;
const line = byId("refreshed");
const isLive = () => document.querySelector("[data-live]") !== null;

/** Whether somebody would be disturbed. */
function isBusy() {
  const at = document.activeElement;
  const inField = at !== null && /^(INPUT|SELECT|TEXTAREA)$/.test(at.tagName);
  const selects = !(getSelection()?.isCollapsed ?? true);
  return document.hidden || inField || selects || document.querySelector("dialog[open]") !== null;
}

/** Fetches the page again and morphs its live regions. */
async function refresh() {
  if (busy) return;
  busy = true;
  try {
    const answer = await fetch(location.href, { signal: AbortSignal.timeout(20000) });
    if (!answer.ok || answer.redirected) throw new Error(String(answer.status));
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (isBusy()) return;
    for (const old of document.querySelectorAll("[data-live]")) {
      const now = old.id ? fresh.getElementById(old.id) : null;
      if (now) morph(old, now);
    }
    showTimes();
    [updated, failures] = [Date.now(), 0];
  } catch {
    failures += 1;
  } finally {
    busy = false;
    due = Date.now() + every * 1000 * 2 ** Math.min(failures, 5);
    tell();
  }
}

/** @param {Element} old @param {Element} now What somebody opened stays open, the row at hand at hand. */
function morph(old, now) {
  Idiomorph.morph(old, now, {
    callbacks: {
      beforeAttributeUpdated: (name, node) =>
        !(name === "open" && node instanceof HTMLDetailsElement) && !(name === "class" && node.classList.contains("at")),
    },
  });
}

function tell() {
  if (!isLive()) return;
  line.hidden = false;
  const ago = Math.round((Date.now() - updated) / 1000);
  const how = every === 0 ? "never refreshed" : paused ? "paused" : `every ${every} s`;
  const text = `${how} · updated ${ago} s ago${failures ? " · the relay does not answer" : ""}`;
  if (line.textContent !== text) line.textContent = text;
  line.classList.toggle("late", failures > 0);
}

setInterval(() => {
  tell();
  if (every > 0 && !paused && isLive() && !busy && Date.now() >= due && !isBusy()) refresh();
}, 500);

// ---- times

/** @param {number} ms @returns {string} */
function span(ms) {
  const s = Math.round(Math.abs(ms) / 1000);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor(s / 3600) % 24} h`;
}

/** Shows instants as they were chosen to be; the title always has all of them. */
function showTimes() {
  const how = document.documentElement.dataset.times ?? "utc";
  for (const one of document.querySelectorAll("time")) {
    const at = new Date(one.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    one.dataset.utc ??= one.textContent ?? "";
    one.title = one.dateTime;
    const ms = Date.now() - at.getTime();
    if (how === "local") one.textContent = at.toLocaleString();
    else if (how === "relative") one.textContent = ms < 0 ? `in ${span(ms)}` : `${span(ms)} ago`;
    else one.textContent = one.dataset.utc;
  }
}

// ---- choices

const help = byId("help");
const settings = byId("settings");
settings.hidden = false;
settings.addEventListener("click", () => help.showModal());

/** @param {string} id @param {string} value @param {(value: string) => void} chosen */
function pick(id, value, chosen) {
  const field = byId(id);
  field.value = value;
  field.addEventListener("change", () => {
    keep(id.replace("pick-", ""), field.value);
    chosen(field.value);
  });
}
const page = document.documentElement;
pick("pick-refresh", String(every), (value) => {
  every = Number(value);
  due = Date.now() + every * 1000;
  tell();
});
pick("pick-times", page.dataset.times ?? "utc", (value) => {
  page.dataset.times = value;
  showTimes();
});
pick("pick-theme", page.dataset.theme ?? "", (value) => {
  if (value) page.dataset.theme = value;
  else delete page.dataset.theme;
});

// ---- copying

for (const button of document.querySelectorAll("button[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const from = byId(button.dataset.copy ?? "");
    await navigator.clipboard.writeText(from.textContent ?? "");
    button.textContent = "Copied";
  });
}

// ---- keys

/** @type {Record<string, string>} */
const PLACES = { o: "", s: "subscriptions", d: "dead-letters", t: "topics", p: "sources", y: "system" };
let went = 0;

/** @param {number} by Moves to another row. */
function move(by) {
  const rows = [...document.querySelectorAll("tbody tr, details.row")];
  if (rows.length === 0) return;
  const at = rows.findIndex((row) => row.classList.contains("at"));
  const next = rows[Math.max(0, Math.min(rows.length - 1, at + by))];
  rows[at]?.classList.remove("at");
  next.classList.add("at");
  next.scrollIntoView({ block: "nearest" });
  const target = next.querySelector("a, summary");
  if (target instanceof HTMLElement) target.focus({ preventScroll: true });
}

document.addEventListener("keydown", (event) => {
  const inField = event.target instanceof Element && event.target.closest("input, select, textarea");
  if (inField || event.ctrlKey || event.metaKey || event.altKey || help.open) return;
  if (Date.now() - went < 1500 && event.key in PLACES) {
    location.href = `${root}console/${PLACES[event.key]}`;
    return;
  }
  went = 0;
  if (event.key === "g") went = Date.now();
  else if (event.key === "/") location.href = `${root}console/find`;
  else if (event.key === "j") move(1);
  else if (event.key === "k") move(-1);
  else if (event.key === "r") refresh();
  else if (event.key === ".") paused = !paused;
  else if (event.key === "?") help.showModal();
  else return;
  event.preventDefault();
  tell();
});

showTimes();
tell();
