// Drives Chromium by what stands in the file that is named: opens pages, lets each attack, and prints
// as JSON what they could read or show.

import { readFileSync } from "node:fs";
import { chromium } from "playwright-core";

const { executable, folder, script, steps } = JSON.parse(readFileSync(process.argv[2], "utf8"));
const browser = await chromium.launchPersistentContext(folder, {
  executablePath: executable,
  headless: true,
  chromiumSandbox: false,
  args: ["--host-resolver-rules=MAP *.example 127.0.0.1", "--disable-features=LocalNetworkAccessChecks"],
});

// A beacon tells its page nothing, so its end is looked for here.
let under_way = 0;
let quiet = Date.now();
const moved = (by) => () => ((under_way += by), (quiet = Date.now()));
browser.on("request", moved(1));
browser.on("requestfinished", moved(-1));
browser.on("requestfailed", moved(-1));
async function still() {
  const end = Date.now() + 5_000;
  while ((under_way > 0 || Date.now() - quiet < 200) && Date.now() < end) {
    await new Promise((done) => setTimeout(done, 20));
  }
}

const kinds = {
  async writes(page, { target, writes }) {
    return page.evaluate(([target, writes]) => attackWrites(target, writes), [target, writes]);
  },
  async reads(page, { target, paths, stream }) {
    return page.evaluate((all) => attackReads(...all), [target, paths, stream]);
  },
  // The whole page goes where a form sends it: the same request as a frame's but for one header.
  async leaves(page, { from, target, writes }) {
    const found = [];
    for (const { path, body } of writes.filter(({ method }) => method === "POST").slice(0, 4)) {
      await open(page, from);
      const sent = page.evaluate((all) => void form(...all, "_self"), [target + path, body, "text/plain"]);
      const [answer] = await Promise.all([page.waitForNavigation(), sent]);
      if (answer.status() < 400) found.push(`a form at ${path}: ${answer.status()}`);
    }
    return found;
  },
  async frames(page, { target, paths }) {
    const found = [];
    for (const path of paths) {
      await page.evaluate((url) => framed((frame) => (frame.src = url)).then(() => {}), target + path);
      for (const frame of page.frames().slice(1)) {
        if (frame.url().startsWith(target)) found.push(`${path} is shown in a frame`);
      }
    }
    return found;
  },
  // The page's own calls, with JSON: what each was answered.
  async calls(page, { writes }) {
    return page.evaluate(async (writes) => {
      const answers = [];
      for (const { method, path, body } of writes) {
        const type = body.includes("specversion") ? "application/cloudevents+json" : "application/json";
        const headers = { "content-type": type };
        const answer = await fetch(path, { method, body, headers }).catch(() => ({ status: 0 }));
        answers.push(`${method} ${path}: ${answer.status}`);
      }
      return answers;
    }, writes);
  },
};

async function open(page, from) {
  await page.goto(from);
  // The relay's own page needs no script, and takes none.
  if (!from.includes("/docs/")) await page.addScriptTag({ path: script });
}

async function take(step) {
  const page = await browser.newPage();
  await open(page, step.from);
  return kinds[step.kind](page, step);
}

// A few at a time: two cores have no use for more.
const PAGES = 4;
const found = [];
const left = [...steps.entries()];
async function work() {
  for (let next = left.shift(); next; next = left.shift()) {
    const [at, step] = next;
    console.error(`begins: ${step.kind} from ${step.from}`);
    found[at] = await take(step);
    console.error(`ends: ${step.kind} from ${step.from}`);
  }
}
await Promise.all(Array.from({ length: PAGES }, work));
await still();
console.log(JSON.stringify(found));
await browser.close();
