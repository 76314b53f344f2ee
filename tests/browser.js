// Opens a page in a browser and runs a test's script there: the fixture `visit` of conftest.py.
// stdin: {browser, url, script, given, width, height}; stdout: {result, errors, elsewhere}.
const fs = require("fs");
const { chromium } = require("playwright-core");

const AsyncFunction = (async () => {}).constructor;

async function main(job) {
  const browser = await chromium.launch({
    executablePath: job.browser,
    args: ["--no-sandbox", "--disable-dev-shm-usage"], // a container has neither
  });
  try {
    const viewport = { width: job.width, height: job.height };
    const page = await browser.newPage({ viewport, locale: "en-US" });
    page.setDefaultTimeout(30000);
    const errors = [];
    const elsewhere = new Set();
    page.on("pageerror", (error) => errors.push(String(error)));
    page.on("request", (request) => {
      const { protocol, host } = new URL(request.url());
      if (/^(http|ws)s?:$/.test(protocol) && host !== new URL(job.url).host) elsewhere.add(host);
    });
    await page.goto(job.url);
    const result = await new AsyncFunction("page", "given", job.script)(page, job.given);
    return { result: result ?? null, errors, elsewhere: [...elsewhere] };
  } finally {
    await browser.close();
  }
}

main(JSON.parse(fs.readFileSync(0, "utf8"))).then(
  (found) => process.stdout.write(JSON.stringify(found)),
  (error) => {
    process.stderr.write(`${error.stack ?? error}\n`);
    process.exitCode = 1;
  },
);
