// Drives Chromium over pages of the console by what stands in the file that is named, and prints as
// JSON what is wrong, a line each.

import { readFileSync } from "node:fs";
import AxeBuilder from "@axe-core/playwright";
import { chromium } from "playwright-core";

const plan = JSON.parse(readFileSync(process.argv[2], "utf8"));
const browser = await chromium.launch({
  executablePath: plan.executable,
  args: ["--no-sandbox", "--disable-dev-shm-usage"],
});
const wrong = [];

/** A tab that tells of scripts that ran, policies that were hurt and requests that left. */
async function tab(options) {
  const context = await browser.newContext(options);
  await context.addInitScript(() => {
    window.pwned = (which) => console.error(`ran: ${which}`);
    document.addEventListener("securitypolicyviolation", (event) => console.error(`policy: ${event.violatedDirective}`));
  });
  const page = await context.newPage();
  page.on("console", (message) => {
    if (message.type() === "error" && !/status of 404/.test(message.text())) wrong.push(`${page.url()}: ${message.text()}`);
  });
  page.on("pageerror", (error) => wrong.push(`${page.url()}: ${error.message}`));
  page.on("dialog", (dialog) => (wrong.push(`${page.url()}: a dialog`), dialog.dismiss()));
  page.on("request", (request) => {
    if (!request.url().startsWith(plan.base) && !request.url().startsWith("data:")) wrong.push(`left for ${request.url()}`);
  });
  return page;
}

const TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
const at = (path) => `${plan.base}/console/${path}`;

const KINDS = {
  // Both themes, two widths; once without scripts.
  async axe() {
    const all = [
      { colorScheme: "light", viewport: { width: 1280, height: 900 } },
      { colorScheme: "dark", viewport: { width: 390, height: 800 } },
      { colorScheme: "light", viewport: { width: 390, height: 800 }, javaScriptEnabled: false },
    ];
    for (const options of all.slice(0, plan.brief ? 1 : all.length)) {
      const page = await tab(options);
      for (const path of plan.pages) {
        await page.goto(at(path));
        if (options.javaScriptEnabled === false) {
          if (!(await page.locator("main h1").isVisible())) wrong.push(`${path}: no title without scripts`);
          continue;
        }
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        if (wide > 0) wrong.push(`${path}: ${wide} px too wide at ${options.viewport.width}`);
        // The other theme and the narrow screen change colours and sizes only.
        const axe = new AxeBuilder({ page });
        const asked = options.colorScheme === "light" ? axe.withTags(TAGS) : axe.withRules(["color-contrast", "target-size"]);
        const { violations } = await asked.analyze();
        for (const one of violations) {
          wrong.push(`${path} (${options.colorScheme}): ${one.id}: ${one.nodes.map((node) => node.html).join(" ").slice(0, 300)}`);
        }
      }
      await page.context().close();
    }
  },

  // Every page, with all that can be opened opened.
  async hostile() {
    const page = await tab({ viewport: { width: 1280, height: 900 } });
    for (const path of plan.pages) {
      await page.goto(at(path));
      await page.evaluate(() => {
        for (const one of document.querySelectorAll("details")) one.open = true;
      });
      const strange = await page.evaluate(
        () => document.querySelectorAll("main :is(script, iframe, img, style, link, meta, base, object, template, math, form[action^='//'])").length,
      );
      if (strange > 0) wrong.push(`${path}: ${strange} elements that no template has`);
      if (!(await page.locator("h1").first().isVisible())) wrong.push(`${path}: hidden`);
    }
    await page.keyboard.press("r");
    await page.waitForTimeout(300);
  },

  async refresh() {
    const page = await tab({ viewport: { width: 1280, height: 900 } });
    const looks = () => page.evaluate(() => performance.getEntriesByType("resource").filter((one) => one.initiatorType === "fetch").length);
    await page.goto(at("subscriptions/refused"));
    await page.locator("#pick-refresh").evaluate((field) => {
      field.value = "2";
      field.dispatchEvent(new Event("change"));
    });
    // What somebody opened stays open, what is typed stays typed, and it is not refreshed meanwhile.
    await page.locator("details.row summary").first().click();
    await page.locator("#settings-of > summary").click();
    await page.locator("input[name=status]").fill("40");
    let before = await looks();
    await page.waitForTimeout(3500);
    if ((await looks()) !== before) wrong.push("it is refreshed while somebody types");
    await page.locator("h1").click();
    await page.evaluate(() => document.activeElement?.blur());
    await page.waitForFunction((was) => performance.getEntriesByType("resource").filter((one) => one.initiatorType === "fetch").length > was, before, { timeout: 8000 });
    await page.waitForTimeout(300);
    if ((await page.locator("input[name=status]").inputValue()) !== "40") wrong.push("what was typed is gone");
    if (!(await page.locator("details.row").first().evaluate((row) => row.open))) wrong.push("what was opened is closed");
    if (!(await page.locator("#settings-of").evaluate((row) => row.open))) wrong.push("what was opened is closed");
    // A selection stays.
    await page.evaluate(() => getSelection().selectAllChildren(document.querySelector("h1")));
    before = await looks();
    await page.waitForTimeout(3500);
    if ((await looks()) !== before) wrong.push("it is refreshed while text is selected");
    await page.evaluate(() => getSelection().removeAllRanges());
    // A tab that nobody sees asks nothing.
    await page.evaluate(() => {
      Object.defineProperty(document, "hidden", { get: () => true });
      document.dispatchEvent(new Event("visibilitychange"));
    });
    before = await looks();
    await page.waitForTimeout(3500);
    if ((await looks()) > before) wrong.push("it is refreshed while the tab is hidden");
    // Keys lead on, and a confirmation is waited for.
    await page.goto(at(""));
    await page.keyboard.press("g");
    await page.keyboard.press("s");
    await page.waitForURL(at("subscriptions"));
    await page.keyboard.press("j");
    const row = await page.locator("tr.at").count();
    if (row !== 1) wrong.push("`j` leads to no row");
    await page.keyboard.press("Enter");
    await page.waitForURL(/subscriptions\/billing/);
    await page.getByRole("link", { name: "Pause" }).click();
    await page.getByRole("button", { name: "Pause" }).click();
    await page.waitForURL(/done=pause/);
    if (!(await page.getByText("It is paused.").isVisible())) wrong.push("nothing says that it is paused");
  },
};

await KINDS[plan.kind]();
await browser.close();
process.stdout.write(JSON.stringify(wrong));
