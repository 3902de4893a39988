// Opens the status page in a real browser, as an operator would, and says what was seen as one JSON line.
// Given: {chromium, url, mode: "operator" | "token", routes: {flowing, halted, back}, token?, images?}
// With `images`, a folder, it draws pictures, and waits for charts that are worth one.
import { createServer } from "node:http";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import puppeteer from "puppeteer-core";

const given = JSON.parse(process.argv[2]);
const browser = await puppeteer.launch({
  executablePath: given.chromium,
  // Root, as in a container, may not use the sandbox; only our own pages are opened.
  args: ["--no-sandbox", "--disable-dev-shm-usage", "--no-proxy-server", "--hide-scrollbars"],
});
const seen = { complaints: [] };

async function open(path = "", width = 1200, height = 900) {
  const page = await browser.newPage();
  // Whoever waits for a state waits for a loaded machine too.
  page.setDefaultTimeout(90000);
  await page.setViewport({ width, height });
  page.on("pageerror", (error) => seen.complaints.push(String(error)));
  page.on("console", (message) => {
    // The browser's own word on a refused request; the page shows it too.
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) seen.complaints.push(message.text());
  });
  await page.goto(given.url + path);
  return page;
}

const card = (route) => `[data-route-card="${route}"]`;
const state = (page, route, wanted) => page.waitForFunction(
  (selector, names) => names.includes(document.querySelector(selector)?.textContent),
  {}, `${card(route)} .state`, wanted,
);
const read = (page, route) => page.$eval(card(route), (node) => ({
  state: node.querySelector(".state").textContent,
  hasSymbol: node.querySelector(".state svg path") !== null,
  direction: node.querySelector(".dir").textContent,
  story: node.querySelector(".story")?.textContent ?? "",
  path: node.querySelector(".path").textContent,
  chart: node.querySelector("figure svg")?.getAttribute("aria-label") ?? "",
  numbers: Object.fromEntries([...node.querySelectorAll("dl div")].map((one) => [one.querySelector("dt").textContent, one.querySelector("dd").textContent])),
  buttons: [...node.querySelectorAll("button")].map((button) => button.textContent),
}));
const overflow = (page) => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
const backdrop = (page) => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
/** So many samples of the first chart. */
const samples = (page, many) => page.waitForFunction(
  (least) => document.querySelectorAll("figure .stroke").length > 1
    && [...document.querySelectorAll("figure .stroke")].some((line) => (line.getAttribute("d").match(/L/g) ?? []).length >= least),
  { timeout: 0 }, many,
);
/** Of the whole page, or of what stands above an element. */
const picture = async (page, name, end) => {
  if (!given.images) return;
  mkdirSync(given.images, { recursive: true });
  const path = join(given.images, `${name}.png`);
  if (!end) return page.screenshot({ path, fullPage: true });
  await page.evaluate(() => scrollTo(0, 0));
  const height = await page.$eval(end, (node) => node.getBoundingClientRect().top);
  await page.screenshot({ path, clip: { x: 0, y: 0, width: page.viewport().width, height } });
};
/** With the keyboard alone. */
const tabTo = async (page, selector) => {
  for (let presses = 0; presses < 60; presses += 1) {
    await page.keyboard.press("Tab");
    if (await page.evaluate((wanted) => document.activeElement.matches(wanted), selector)) return true;
  }
  return false;
};

async function operator() {
  const { flowing, halted, back } = given.routes;
  const page = await open();
  await state(page, flowing, ["streaming", "idle"]);
  await state(page, halted, ["halted"]);
  // Numbers that need two looks of the server, and a chart that needs ten seconds.
  await page.waitForFunction((selector) => document.querySelector(`${selector} dl`)?.textContent.match(/p99(?!–)/), {}, card(flowing));
  await page.waitForFunction((selector) => document.querySelector(`${selector} figure svg`)?.ariaLabel?.match(/highest (?!0,)/), {}, card(flowing));
  await page.waitForFunction(() => document.getElementById("line").textContent === "Live");
  await page.waitForSelector("[data-key=limits] meter");
  seen.title = await page.title();
  seen.summary = await page.$eval(".summary", (node) => node.textContent);
  seen.first = await page.$eval("[data-route-card]", (node) => node.dataset.routeCard);
  seen.limits = await page.$eval("[data-key=limits]", (node) => node.textContent);
  for (const [role, route] of Object.entries(given.routes)) seen[role] = await read(page, route);
  seen.light = await backdrop(page);
  seen.overflow = [await overflow(page)];
  if (given.images) await samples(page, 14);
  seen.animation = await page.$eval(".state svg", (node) => getComputedStyle(node).animationName);
  await picture(page, "status-overview");

  // Pause, by keyboard, through the dialog.
  const pause = `${card(flowing)} [data-command=pause]`;
  seen.reached = await tabTo(page, pause);
  seen.outline = await page.$eval(pause, (node) => getComputedStyle(node).outlineStyle);
  await page.keyboard.press("Enter");
  await page.waitForSelector("dialog[open]");
  seen.dialog = await page.$eval("dialog", (node) => node.innerText);
  await page.keyboard.press("Escape");
  await page.waitForSelector("dialog:not([open])");
  seen.afterEscape = (await read(page, flowing)).state;
  seen.focusAfterEscape = await page.evaluate((selector) => document.activeElement.matches(selector), pause);
  await page.keyboard.press("Enter");
  await page.waitForSelector("dialog[open]");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await state(page, flowing, ["paused"]);
  await page.waitForSelector("dialog:not([open])");
  seen.paused = await read(page, flowing);
  await page.click(`${card(flowing)} [data-command=resume]`);
  await page.click("#ask-yes");
  await state(page, flowing, ["starting", "streaming", "idle"]);
  await state(page, flowing, ["streaming", "idle"]);
  await page.click(`${card(flowing)} [data-command=restart]`);
  await page.click("#ask-yes");
  await page.waitForSelector("dialog:not([open])");
  await state(page, flowing, ["streaming", "idle"]);

  // The route's own page.
  await page.click(`${card(flowing)} h2 a`);
  await page.waitForSelector("[data-key=states] tbody tr");
  const text = (key) => page.$eval(`[data-key=${key}]`, (node) => node.innerText);
  seen.page = { states: await text("states"), deliveries: await text("deliveries"), events: await text("events"), dead: await text("dead"), facts: await text("facts"), contracts: await text("contracts") };
  seen.overflow.push(await overflow(page));
  await page.goto(`${given.url}/#/routes/${halted}`);
  await page.waitForSelector("[data-key=error]");
  seen.page.error = await text("error");
  seen.overflow.push(await overflow(page));
  await picture(page, "status-route");
  await page.goto(`${given.url}/#/routes/${back}`);
  await page.waitForSelector("[data-key=dead] [data-copy]");
  seen.page.commands = await text("dead");
  seen.page.letters = await text("letters");
  seen.page.records = await text("events");
  seen.page.payloads = await text("payloads");
  await page.goto(`${given.url}/#/routes/${flowing}`);
  await state(page, flowing, ["streaming", "idle"]);
  await picture(page, "status-flowing", "[data-key=deliveries]");
  await page.goto(`${given.url}/#/routes/nobody`);
  await page.waitForFunction(() => document.querySelector(".summary")?.textContent.includes("no route nobody"));
  await page.close();

  // A phone, in the dark, without motion.
  const phone = await open("", 375, 720);
  await phone.emulateMediaFeatures([
    { name: "prefers-color-scheme", value: "dark" }, { name: "prefers-reduced-motion", value: "reduce" },
  ]);
  await phone.waitForSelector(`${card(back)} figure svg[aria-label]`);
  seen.dark = await backdrop(phone);
  seen.still = await phone.$eval(".state svg", (node) => getComputedStyle(node).animationName);
  seen.overflow.push(await overflow(phone));
  await picture(phone, "status-phone");
  for (const [route, key] of [[back, "letters"], [flowing, "contracts"], [halted, "error"]]) {
    await phone.goto(`${given.url}/#/routes/${route}`);
    await phone.waitForSelector(`[data-key=${key}]`);
    seen.overflow.push(await overflow(phone));
  }
  await phone.close();

  // The stream is not to be had, and a command is refused.
  const poor = await open();
  await poor.setRequestInterception(true);
  poor.on("request", (request) => {
    if (request.url().endsWith("/api/stream")) request.respond({ status: 503, body: "too many streams" });
    else if (request.method() === "POST") request.respond({ status: 409, contentType: "application/json", body: '{"error":"the bridge is still starting"}' });
    else request.continue();
  });
  await poor.reload();
  await poor.waitForFunction(() => document.getElementById("line").textContent === "Updated every 2 s");
  await poor.waitForSelector(`${card(halted)} [data-command=resume]`);
  await poor.click(`${card(halted)} [data-command=resume]`);
  await poor.click("#ask-yes");
  await poor.waitForFunction(() => document.getElementById("ask-error").textContent);
  seen.refusal = await poor.$eval("#ask-error", (node) => node.textContent);
  await poor.close();

  seen.trends = await trends(flowing);
  seen.hostile = await hostile(flowing);
}

/** What ends today, as the bridge would tell it after hours. */
async function trends(route) {
  const page = await open();
  const trend = (what, hours) => ({
    what, exhausted_at: new Date(Date.now() + hours * 3600000).toISOString(), exhausted_in_seconds: hours * 3600,
    pace_per_hour: what === "retention" ? 3600 : 6230, observed_seconds: 10800,
  });
  await page.setRequestInterception(true);
  page.on("request", async (request) => {
    const path = new URL(request.url()).pathname;
    if (path === "/api/stream") return request.respond({ status: 503, body: "too many streams" });
    if (!/^\/api\/routes(\/|$)/.test(path) || request.method() !== "GET") return request.continue();
    const answer = await (await fetch(request.url())).json();
    const org = [trend("delivery_allocation", 3), trend("api_requests", 5)];
    if (answer.routes) {
      answer.trends = org;
      for (const one of answer.routes) if (one.name === route) one.trends = [trend("retention", 60)];
    } else answer.trends = [trend("retention", 60), ...org];
    return request.respond({ status: 200, contentType: "application/json", body: JSON.stringify(answer) });
  });
  await page.reload();
  await page.waitForSelector("[data-key=limits] .trend");
  const text = (selector) => page.$eval(selector, (node) => node.innerText);
  const told = { org: await text("[data-key=limits] .trend"), card: await text(`${card(route)} .trend`) };
  await page.goto(`${given.url}/#/routes/${route}`);
  await page.waitForSelector(`${card(route)} .trend [data-key=api_requests]`);
  told.route = await text(`${card(route)} .trend`);
  await page.close();
  return told;
}

/** A page of somebody else, in the operator's browser. */
async function hostile(route) {
  const target = `${given.url}/api/routes/${route}/pause`;
  const server = createServer((request, response) => {
    response.setHeader("Content-Type", "text/html");
    response.end(`<form method="post" action="${target}"></form><iframe src="${given.url}/"></iframe>`);
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const page = await browser.newPage();
  const statuses = [];
  page.on("response", (response) => { if (response.url() === target) statuses.push(response.status()); });
  await page.goto(`http://localhost:${server.address().port}/`);
  const outcome = await page.evaluate(async (url, base) => {
    const attempt = async (path, options) => {
      try {
        const answer = await fetch(path, options);
        return answer.type === "opaque" ? "opaque" : await answer.text();
      } catch { return "blocked"; }
    };
    return {
      read: await attempt(`${base}/api/routes`),
      stream: await attempt(`${base}/api/stream`),
      simple: await attempt(url, { method: "POST", mode: "no-cors" }),
      withHeader: await attempt(url, { method: "POST", headers: { "X-Sfbridge": "1" } }),
      script: await new Promise((done) => {
        const node = document.createElement("script");
        node.src = `${base}/api/routes`;
        node.onload = () => done("loaded");
        node.onerror = () => done("blocked");
        document.head.append(node);
      }),
    };
  }, target, given.url);
  const frame = page.frames().find((one) => one !== page.mainFrame());
  outcome.frame = frame?.url() ?? "none";
  await Promise.all([page.waitForNavigation(), page.evaluate(() => document.forms[0].submit())]);
  outcome.form = await page.evaluate(() => document.body.innerText);
  outcome.statuses = statuses;
  await page.close();
  server.close();
  return outcome;
}

async function withToken() {
  const page = await open();
  await page.waitForSelector("#token");
  seen.asked = await page.$eval(".login", (node) => node.innerText);
  await page.type("#token", "wrong");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.querySelector(".login .error").textContent);
  seen.wrong = await page.$eval(".login .error", (node) => node.textContent);
  await page.$eval("#token", (node) => { node.value = ""; });
  await page.type("#token", given.token);
  await page.keyboard.press("Enter");
  await state(page, given.routes.flowing, ["streaming", "idle"]);
  await page.waitForFunction(() => document.getElementById("line").textContent === "Live");
  await page.reload();
  await page.waitForSelector(card(given.routes.flowing));
  seen.afterReload = await read(page, given.routes.flowing);
  seen.url = page.url();
  seen.kept = await page.evaluate(() => [document.cookie, Object.keys(localStorage).length]);
  await page.click(`${card(given.routes.flowing)} [data-command=pause]`);
  await page.click("#ask-yes");
  await state(page, given.routes.flowing, ["paused"]);
  seen.done = true;
}

try {
  await (given.mode === "token" ? withToken() : operator());
} finally {
  await browser.close();
}
console.log(JSON.stringify(seen));
