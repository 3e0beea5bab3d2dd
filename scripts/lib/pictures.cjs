// Takes pictures of pages of the console: node pictures.cjs BASE FOLDER

const { chromium } = require("playwright-core");

const [base, folder] = process.argv.slice(2);
const PAGES = {
  overview: "",
  subscription: "subscriptions/billing",
  redrive: "subscriptions/billing/redrive",
  topic: "topics/orders",
  event: "topics/orders/events/5",
  source: "sources/shop",
};

(async () => {
  const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
  for (const colorScheme of ["light", "dark"]) {
    for (const width of [1280, 390]) {
      const context = await browser.newContext({ colorScheme, viewport: { width, height: 800 } });
      const page = await context.newPage();
      for (const [name, path] of Object.entries(PAGES)) {
        await page.goto(base + path);
        await page.screenshot({ path: `${folder}/${name}-${width}-${colorScheme}.png` });
      }
      await context.close();
    }
  }
  await browser.close();
})();
