// The status page: asks /api with the token of this tab, shows what comes, and tells the bridge what a person confirms.
// Everything shown is set as text, never as markup: names and messages come from outside.
"use strict";

const $ = (id) => document.getElementById(id);
const POLL_MS = 2000;
/** The stream sends every two seconds: after this long without a word the line is dead. */
const SILENCE_MS = 10000;
/** While asking by itself the page tries the stream again this seldom. */
const POLLS_BEFORE_STREAM = 15;
const HOUR_MS = 3600000;
/** A chart is no narrower than this, so that ten seconds do not look like a trend. */
const CHART_MS_MIN = 120000;

/** Drawn, so that no font is needed: a state is told by its word and its shape, not by colour. */
const SHAPES = {
  starting: "M8 1a7 7 0 1 0 7 7h-2a5 5 0 1 1-5-5z",
  streaming: "M3 2l11 6-11 6z",
  idle: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zm0 2a4 4 0 1 1 0 8 4 4 0 0 1 0-8z",
  waiting: "M3 1h10v3L9.5 8 13 12v3H3v-3l3.5-4L3 4z",
  paused: "M3 2h4v12H3zM9 2h4v12H9z",
  draining: "M7 1h2v8h3l-4 5-4-5h3z",
  halted: "M5 1h6l4 4v6l-4 4H5l-4-4V5zm2 3v5h2V4zm0 6v2h2v-2z",
  right: "M1 7h9V3l5 5-5 5V9H1z",
};
/** What a person must see first. */
const ORDER = ["halted", "waiting", "paused", "draining", "starting", "streaming", "idle"];

const now = { overview: null, detail: null, history: {}, skewMs: 0 };
let token = sessionStorage.getItem("token");

// ---- talking to the bridge

class Refused extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

async function ask(path, options = {}) {
  const headers = { ...options.headers };
  if (token) headers.Authorization = `Bearer ${token}`;
  const answer = await fetch(path, { ...options, headers, cache: "no-store" });
  if (answer.ok) return answer;
  const text = await answer.text();
  let why = text.trim();
  try { why = JSON.parse(text).error ?? why; } catch { /* not every refusal is JSON */ }
  throw new Refused(answer.status, why || `the bridge answered ${answer.status}`);
}

async function json(path) {
  const answer = await ask(path, { signal: AbortSignal.timeout(SILENCE_MS) });
  return answer.json();
}

/** Shows what the stream says until it ends. */
async function stream() {
  const control = new AbortController();
  let silence;
  const heard = () => {
    clearTimeout(silence);
    silence = setTimeout(() => control.abort(), SILENCE_MS);
  };
  heard();
  try {
    const answer = await ask("api/stream", { signal: control.signal });
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      heard();
      text += value;
      const events = text.split("\n\n");
      text = events.pop();
      for (const event of events) {
        const data = event.split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5));
        if (data.length) await take(JSON.parse(data.join("\n")), "Live");
      }
    }
  } finally {
    clearTimeout(silence);
    control.abort();
  }
}

async function live() {
  let polls = POLLS_BEFORE_STREAM;
  for (;;) {
    try {
      if (polls >= POLLS_BEFORE_STREAM) {
        polls = 0;
        await stream();
      }
    } catch (error) {
      if (error.status === 401) {
        await login();
        polls = POLLS_BEFORE_STREAM;
        continue;
      }
    }
    try {
      polls += 1;
      await take(await json("api/routes"), "Updated every 2 s");
    } catch (error) {
      // Back in the stream as soon as the bridge is back.
      polls = POLLS_BEFORE_STREAM;
      if (error.status !== 401) offline(error);
    }
    await new Promise((done) => setTimeout(done, POLL_MS));
  }
}

/** A new overview is here; the rest that the page shows is asked for. */
async function take(overview, how) {
  now.overview = overview;
  now.skewMs = Date.parse(overview.now) - Date.now();
  say(how, false);
  const name = route();
  await Promise.all([
    recall(),
    name === null ? null : json(`api/routes/${encodeURIComponent(name)}`).then(
      (detail) => { now.detail = detail; },
      () => { now.detail = null; },
    ),
  ]);
  draw();
}

/** Asks at once, for somebody who has just done something. */
async function refresh() {
  try { await take(await json("api/routes"), $("line").textContent); } catch { /* the next round says why */ }
}

/** The last hour, from where the page knows it. */
async function recall() {
  const known = Object.values(now.history).map((series) => series.at_ms.at(-1) ?? 0);
  const since = known.length ? Math.min(...known) : 0;
  if (Date.now() + now.skewMs - since < 10500) return;
  let answer;
  try { answer = await json(`api/history?since=${since}`); } catch { return; }
  for (const [name, series] of Object.entries(answer.routes)) {
    const before = now.history[name];
    const last = before?.at_ms.at(-1) ?? 0;
    const first = series.at_ms.findIndex((at) => at > last);
    if (before && first < 0) continue;
    const merged = {};
    for (const [part, values] of Object.entries(series)) {
      merged[part] = [...(before?.[part] ?? []), ...values.slice(Math.max(first, 0))].slice(-360);
    }
    now.history[name] = merged;
  }
}

function offline() {
  if (!$("line").classList.contains("bad")) {
    say(`No answer from the bridge since ${clock(Date.now())}: what you see is old`, true);
  }
}

/** Said aloud by a screen reader, so only when it changes. */
function say(text, isBad) {
  const line = $("line");
  if (line.textContent !== text) line.textContent = text;
  line.classList.toggle("bad", isBad);
}

function login() {
  const form = $("login").content.cloneNode(true).querySelector("form");
  const error = form.querySelector(".error");
  if (token) error.textContent = "The bridge does not take this token.";
  $("view").replaceChildren(form);
  say("", false);
  form.querySelector("input").focus();
  return new Promise((done) => {
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      token = form.querySelector("input").value;
      try {
        await json("api/routes");
      } catch (refused) {
        error.textContent = refused.status === 401 ? "The bridge does not take this token." : refused.message;
        return;
      }
      sessionStorage.setItem("token", token);
      $("view").replaceChildren();
      done();
    });
  });
}

// ---- words and numbers

const clock = (ms) => new Date(ms).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const moment = (text) => {
  const at = new Date(text);
  const today = at.toDateString() === new Date().toDateString();
  return today ? clock(at) : `${at.toLocaleDateString([], { month: "short", day: "numeric" })} ${clock(at)}`;
};
/** Hours ahead nobody wants the seconds. */
const soon = (text) => {
  const at = new Date(text);
  const time = at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false });
  return at.toDateString() === new Date().toDateString() ? time : `${time} on ${at.toLocaleDateString([], { month: "short", day: "numeric" })}`;
};
const count = (value) => value.toLocaleString("en").replaceAll(",", "\u202f");

function seconds(value) {
  if (value < 1) return `${Math.round(value * 1000)} ms`;
  if (value < 10) return `${value.toFixed(1)} s`;
  if (value < 120) return `${Math.round(value)} s`;
  const minutes = Math.round(value / 60);
  if (minutes < 120) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 72) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

const rate = (value) => (value > 0 && value < 10 ? value.toFixed(1) : count(Math.round(value)));
const ago = (text) => Math.max(0, (Date.now() + now.skewMs - Date.parse(text)) / 1000);
const DIRECTIONS = { to_kafka: "Salesforce → Kafka", to_salesforce: "Kafka → Salesforce" };

const ENDS = {
  delivery_allocation: "the daily delivery allocation is used up",
  api_requests: "the daily API requests are used up",
  retention: "Salesforce drops what this route has yet to read",
};

/** What will be used up, and when. */
function trends(list) {
  if (!list?.length) return null;
  return h("div", { class: "trend", "data-key": "trends" }, list.map((one) => h("p", { "data-key": one.what },
    h("b", null, "At this pace "), `${ENDS[one.what] ?? one.what} at ${soon(one.exhausted_at)}, in ${seconds(one.exhausted_in_seconds)}. `,
    h("span", { class: "since" }, one.what === "retention"
      ? `It fell behind by ${seconds(one.pace_per_hour)} an hour, over the last ${seconds(one.observed_seconds)}.`
      : `${count(Math.round(one.pace_per_hour))} an hour, over the last ${seconds(one.observed_seconds)}.`))));
}

/** What happens if nobody does anything. */
function next(shown) {
  const { state, direction } = shown;
  const left = shown.retention_left_seconds;
  const keeps = direction === "to_kafka"
    ? `Salesforce keeps the events${left === undefined ? " for 72 hours" : ` for ${seconds(Math.max(left, 0))} more`}.`
    : "Kafka keeps the records as long as their topic's retention says.";
  switch (state.name) {
    case "halted": return `Nothing more until a person mends it and restarts the route. ${keeps}`;
    case "paused": return `Nothing until somebody resumes it. ${keeps}`;
    case "waiting": {
      const wait = state.until ? (Date.parse(state.until) - Date.now() - now.skewMs) / 1000 : 0;
      return wait > 0 ? `It tries again by itself in ${seconds(wait)}, at ${moment(state.until)}.` : "It goes on by itself.";
    }
    case "draining": return "It finishes what is in hand, then stops.";
    case "starting": return "It begins as soon as this is done.";
    default: return null;
  }
}

// ---- drawing

function h(name, given, ...children) {
  const svg = ["svg", "path"].includes(name);
  const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(given ?? {})) {
    if (value !== undefined && value !== false) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.flat(9).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** Makes `old` what `fresh` is and keeps what is the same, so that focus and selection stay. */
function morph(old, fresh) {
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  const key = (node) => node.dataset?.key;
  // Nodes move from the one to the other: how many there are to be must be known before.
  const many = fresh.childNodes.length;
  for (const [at, wanted] of [...fresh.childNodes].entries()) {
    let there = old.childNodes[at];
    if (key(wanted) && key(there ?? wanted) !== key(wanted)) {
      const moved = [...old.childNodes].find((node) => key(node) === key(wanted));
      if (moved) {
        old.insertBefore(moved, there);
        there = moved;
      }
    }
    if (!there) old.append(wanted);
    else if (there.nodeName !== wanted.nodeName || key(there) !== key(wanted)) there.replaceWith(wanted);
    else if (wanted.nodeType === Node.TEXT_NODE) { if (there.data !== wanted.data) there.data = wanted.data; }
    else morph(there, wanted);
  }
  while (old.childNodes.length > many) old.lastChild.remove();
}

const shape = (name) => h("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, h("path", { d: SHAPES[name] }));
const badge = (name) => h("span", { class: `state ${name}` }, shape(name), name);
const number = (name, value, level) => value === undefined || value === null
  ? null
  : h("div", { class: level || undefined, "data-key": name }, h("dt", null, name), h("dd", null, value));

function chart(title, series, part, show) {
  const values = series?.[part] ?? [];
  const known = values.filter((value) => value !== null);
  if (!known.length) {
    return h("figure", null, h("svg", { viewBox: "0 0 360 100", "aria-hidden": "true" }),
      h("figcaption", null, h("span", null, title), h("span", null, values.length ? "none in the last hour" : "not measured yet")));
  }
  const top = Math.max(...known) || 1;
  const end = series.at_ms.at(-1);
  const span = Math.min(Math.max(end - series.at_ms[0], CHART_MS_MIN), HOUR_MS);
  const period = span > HOUR_MS * 0.95 ? "last hour" : `last ${seconds(span / 1000)}`;
  let line = "", area = "", from = null, last = null;
  const close = () => { if (from !== null) area += `L${last} 100L${from} 100Z`; from = null; };
  for (const [at, value] of values.entries()) {
    if (value === null) { close(); continue; }
    const x = (360 * (1 - (end - series.at_ms[at]) / span)).toFixed(1);
    const y = (98 - 94 * value / top).toFixed(1);
    line += `${from === null ? "M" : "L"}${x} ${y}`;
    // A measurement without neighbours is a dash, inside of the chart.
    if (from === null && (values[at + 1] ?? null) === null) line += x < 4 ? "h4" : "h-4";
    area += `${from === null ? "M" : "L"}${x} ${y}`;
    from ??= x;
    last = x;
  }
  close();
  const latest = values.at(-1);
  const text = `${title}, ${period}: highest ${show(top)}, ${latest === null ? "none now" : `now ${show(latest)}`}`;
  return h("figure", null,
    h("svg", { viewBox: "0 0 360 100", preserveAspectRatio: "none", role: "img", "aria-label": text },
      h("path", { class: "area", d: area }), h("path", { class: "stroke", d: line })),
    h("figcaption", null, h("span", null, `${title}, ${period}`), h("span", null, `highest ${show(Math.max(...known))}`)));
}

function buttons(shown) {
  const { name } = shown.state;
  const can = {
    pause: !["paused", "draining"].includes(name),
    resume: ["paused", "halted"].includes(name),
    restart: shown.runs_here && !["paused", "draining"].includes(name),
  };
  const button = (command) => h("button", {
    type: "button", "data-key": command, "data-command": command, "data-route": shown.name,
    "aria-label": `${command} ${shown.name}`,
  }, command[0].toUpperCase() + command.slice(1));
  return h("div", { class: "buttons" }, Object.keys(can).filter((command) => can[command]).map(button));
}

function story(shown) {
  const { state } = shown;
  if (!state.why && !next(shown)) return null;
  return h("div", { class: `story ${state.name}` },
    state.why && h("p", null, h("b", null, "Why: "), state.why),
    state.remedy && h("p", null, h("b", null, "Do: "), state.remedy),
    next(shown) && h("p", null, h("b", null, "Next: "), next(shown)));
}

function numbers(shown) {
  const left = shown.retention_left_seconds;
  const contracts = shown.contracts ?? [];
  const ids = [...new Set(contracts.map((contract) => contract.schema_id + (contract.version === undefined ? "" : ` (version ${contract.version})`)))];
  return h("dl", { class: "numbers" },
    number("Events/s", rate(shown.events_per_second)),
    number("Latency p50", shown.latency_p50_seconds === undefined ? "–" : seconds(shown.latency_p50_seconds)),
    number("Latency p99", shown.latency_p99_seconds === undefined ? "–" : seconds(shown.latency_p99_seconds)),
    shown.lag === undefined ? null : number("Lag", `${count(shown.lag)} records`),
    shown.position_age_seconds === undefined ? null : number("Position age", seconds(shown.position_age_seconds)),
    left === undefined ? null : number("Retention left", seconds(Math.max(left, 0)), left < 86400 ? (left < 14400 ? "bad" : "warn") : ""),
    number("Dead letters", count(shown.dead_letters), shown.dead_letters ? "bad" : ""),
    shown.direction === "to_kafka" || shown.gaps ? number("Gaps", count(shown.gaps), shown.gaps ? "warn" : "") : null,
    ids.length ? number(ids.length > 1 ? "Contract ids" : "Contract id", ids.slice(-4).join(", "), "wide") : null);
}

function card(shown, isAlone) {
  const { state } = shown;
  const link = isAlone ? shown.name : h("a", { href: `#/routes/${encodeURIComponent(shown.name)}` }, shown.name);
  return h("article", { class: `card ${state.name}`, "data-key": shown.name, "data-route-card": shown.name, "aria-label": `route ${shown.name}` },
    h("div", { class: "top" },
      h("h2", null, link), badge(state.name),
      h("span", { class: "since" }, `for ${seconds(ago(state.since))}`),
      h("span", { class: "dir" }, DIRECTIONS[shown.direction] ?? shown.direction),
      buttons(shown)),
    shown.from && h("p", { class: "path" }, `${shown.from.join(", ")} → ${shown.to.join(", ")}`),
    story(shown),
    trends(shown.trends),
    h("div", { class: "body" }, numbers(shown),
      isAlone ? null : chart("Events/s", now.history[shown.name], "events_per_second", rate)));
}

const WORDS = {
  streaming: "flowing", idle: "idle", waiting: "waiting", paused: "paused",
  draining: "draining", halted: "halted", starting: "starting",
};

function summary(routes) {
  const told = ORDER.map((state) => [state, routes.filter((shown) => shown.state.name === state).length])
    .filter(([, many]) => many)
    .map(([state, many]) => `${many} ${WORDS[state]}`);
  return `${routes.length} ${routes.length === 1 ? "route" : "routes"}: ${told.join(", ")}`;
}

const LIMITS = {
  DailyApiRequests: "API requests, 24 h", DailyBulkApiBatches: "Bulk batches, 24 h",
  DailyDeliveredPlatformEvents: "Delivered events, 24 h", HourlyPublishedPlatformEvents: "Published events, 1 h",
  HourlyPublishedStandardVolumePlatformEvents: "Published standard-volume events, 1 h",
  DailyStandardVolumePlatformEvents: "Delivered standard-volume events, 24 h",
  MonthlyPlatformEvents: "Delivered events, month", MonthlyPlatformEventsUsageEntitlement: "Delivered events, month",
};

function limits(list) {
  if (!list?.length) return null;
  const one = (limit) => h("div", { "data-key": limit.name },
    h("p", null, `${LIMITS[limit.name] ?? limit.name}: `, h("b", null, count(limit.remaining)), ` of ${count(limit.max)} left`),
    h("meter", {
      min: 0, max: limit.max, low: limit.max * 0.1, high: limit.max * 0.25, optimum: limit.max, value: limit.remaining,
      "aria-label": `${limit.name} left`,
    }),
    h("p", { class: "note" }, `${limit.name}, as of ${moment(limit.seen)}`));
  return h("section", { class: "card", "data-key": "limits" }, h("h3", null, "The org's limits"),
    trends(now.overview.trends),
    h("div", { class: "limits" }, list.map(one)));
}

/** The last error in plain words: what, since when, what was tried, what comes next, and what caused it. */
function trouble(shown) {
  const { error } = shown;
  if (!error) return null;
  const since = `It began ${moment(error.since)}${error.latest === error.since ? "" : ` and came last ${moment(error.latest)}`}`;
  return h("section", { class: "card", "data-key": "error" }, h("h3", null, error.is_over ? "Last error (it is over)" : "What is wrong"),
    h("p", null, error.text),
    h("dl", { class: "numbers" },
      number("Kind", error.kind.replaceAll("_", " ")), number("Tries", error.tries === undefined ? undefined : count(error.tries))),
    h("p", null, h("b", null, "Since: "), `${since}.`),
    error.tried && h("p", null, h("b", null, "Tried: "), `${error.tried.replace(/^tried /, "")}.`),
    h("p", null, h("b", null, "Next: "), error.is_over ? `nothing: the route is ${shown.state.name}, since ${moment(shown.state.since)}.` : next(shown) ?? `${error.next}.`),
    error.causes.length ? [h("p", null, h("b", null, "Causes, the nearest first:")), h("ol", null, error.causes.map((cause) => h("li", null, cause)))] : null);
}

function payloads(shown) {
  if (!shown.payloads) return null;
  const isBack = shown.direction === "to_salesforce";
  return h("section", { class: "card", "data-key": "payloads" }, h("h3", null, "What came"),
    h("p", { class: "note" }, "Some of the last values, in this process's memory, because admin.show_payloads is on."),
    shown.payloads.map((one) => h("div", { class: "payload" },
      h("p", { class: "note" }, `${moment(one.at)}, ${isBack ? "record" : "replay id"} ${one.place}${one.whole_bytes ? `, cut: it has ${count(one.whole_bytes)} bytes` : ""}`),
      h("pre", null, one.value))),
    shown.payloads.length ? null : h("p", { class: "note" }, "None since the start."));
}

function overview() {
  const { routes } = now.overview;
  const rank = (shown) => Math.max(0, ORDER.indexOf(shown.state.name));
  const isWell = (shown) => ["streaming", "idle"].includes(shown.state.name);
  // Two states that are well do not change places all the time.
  const sorted = [...routes].sort((one, other) => (isWell(one) && isWell(other) ? 0 : rank(one) - rank(other)));
  const unknown = now.overview.assigned_but_unknown ?? [];
  return h("div", null,
    h("p", { class: "summary" }, summary(routes)),
    unknown.length ? h("div", { class: "story halted" }, h("p", null,
      `This instance was given routes that its configuration does not have: ${unknown.join(", ")}. Give every instance the same configuration.`)) : null,
    sorted.map((shown) => card(shown, false)),
    limits(now.overview.salesforce_limits));
}

function table(title, key, heads, rows, none) {
  return h("section", { class: "card", "data-key": key }, h("h3", null, title),
    rows.length
      ? h("div", { class: "scroll" }, h("table", null,
        h("thead", null, h("tr", null, heads.map((head) => h("th", { scope: "col" }, head)))),
        h("tbody", null, rows.map((row) => h("tr", null, row.map((cell) => h("td", { class: (cell?.textContent ?? String(cell)).length > 24 ? "text" : undefined }, cell)))))))
      : h("p", { class: "note" }, none));
}

const command = (id, text) => h("div", { class: "command" },
  h("pre", { id }, text), h("button", { type: "button", "data-copy": id, "aria-label": `copy ${text}` }, "Copy"));

const outcome = (delivery) => ["written", "filtered", "repeated", "dead_letters"]
  .filter((part) => delivery[part])
  .map((part) => `${count(delivery[part])} ${part === "dead_letters" ? (delivery[part] > 1 ? "dead letters" : "dead letter") : part}`)
  .join(", ");

const OUTCOMES = { dead_letter: "dead letter" };

/** What the last events became. What they carried is in none of it. */
function events(shown) {
  const isBack = shown.direction === "to_salesforce";
  const id = (one) => one.id === undefined ? null : h("code", null, one.id);
  const what = (one) => [one.event ?? "?", one.change, one.records && `(${count(one.records)} records)`].filter(Boolean).join(" ");
  return table(isBack ? "Last records" : "Last events", "events",
    isBack ? ["At", "Record", "Operation", "Outcome"] : ["At", "Event", "Id", "Outcome"],
    shown.recent_events.map((one) => [moment(one.at),
      ...(isBack ? [one.place, one.operation ?? "–"] : [what(one), id(one)]), OUTCOMES[one.outcome] ?? one.outcome]),
    "None since the start.");
}

function letters(shown) {
  if (!shown.recent_dead_letters.length) return null;
  const source = (one) => h("code", null, one.id ?? one.place);
  return table("Last dead letters", "letters", ["At", "Kind", "Of", "Output", "Why", "Command that shows it"],
    shown.recent_dead_letters.map((one) => [moment(one.at), one.kind, source(one), one.output ?? "all",
      one.error ?? "in the letter", h("code", null, one.command)]), "");
}

function detail(name) {
  const shown = now.detail;
  const back = h("p", { "data-key": "back" }, h("a", { href: "#/" }, "← All routes"));
  if (shown?.name !== name) {
    const isKnown = now.overview.routes.some((route) => route.name === name);
    return h("div", null, back, h("p", { class: "summary" }, isKnown ? "…" : `There is no route ${name}.`));
  }
  const series = now.history[name];
  const isBack = shown.direction === "to_salesforce";
  const { position } = shown;
  const isActive = shown.error && !shown.error.is_over;
  return h("div", null, back, card(shown, true), isActive ? trouble(shown) : null,
    h("section", { class: "card", "data-key": "charts" }, h("div", { class: "charts" },
      chart("Events/s", series, "events_per_second", rate),
      chart("Latency p50", series, "latency_p50_seconds", seconds),
      chart("Latency p99", series, "latency_p99_seconds", seconds),
      isBack ? chart("Lag", series, "lag", count) : null)),
    h("section", { class: "card", "data-key": "facts" }, h("h3", null, "Since the start"), h("dl", { class: "numbers" },
      number("Received", count(shown.events_received)), number("Written", count(shown.records_written)),
      number("Filtered", count(shown.filtered)), number("In hand", count(shown.in_hand)),
      number("Last answer", moment(shown.last_answer)), number("Runs here", shown.runs_here ? "yes" : "no"),
      position.replay_id && number("Replay id", position.replay_id, "wide"),
      position.event_time && number("Event time", moment(position.event_time)),
      position.updated_at && number("Position stored", moment(position.updated_at)))),
    isActive ? null : trouble(shown),
    shown.contracts?.length ? table("Contracts", "contracts", ["Schema id", "Version", "Subject", "Topic", "Event", "Salesforce schema"],
      shown.contracts.map((one) => [one.schema_id, one.version ?? "–", one.subject, one.topic, one.event, one.salesforce_schema]), "") : null,
    shown.fresh_reads?.length ? table("To be read again", "fresh", ["Object", "Since", "Command"],
      shown.fresh_reads.map((one) => [one.entity, moment(one.since), h("code", null, one.command)]), "") : null,
    h("section", { class: "card", "data-key": "dead" }, h("h3", null, "Dead letters"),
      h("p", null, shown.dead_letters ? `${count(shown.dead_letters)} since the start, in ` : "None since the start. They would be in ", h("code", null, shown.dead_letter_topic), "."),
      shown.dead_letters
        ? [h("p", null, "Which, why, and what to do about them:"), command("list", `sfbridge dead-letters list --route ${shown.name}`),
          h("p", null, "What would go and what would fail again; without --dry-run they are sent:"),
          command("redrive", `sfbridge dead-letters redrive --route ${shown.name} --dry-run`)]
        : null),
    letters(shown),
    events(shown),
    isBack ? null : table("Last transactions", "deliveries", ["At", "Up to replay id", "Outcome"],
      shown.deliveries.slice(0, 15).map((one) => [moment(one.at), one.place, outcome(one)]), "None since the start."),
    payloads(shown),
    table("States", "states", ["At", "State", "Why"],
      shown.states.map((one) => [moment(one.since), badge(one.name), one.why ?? ""]), ""));
}

function route() {
  const found = /^#\/routes\/(.+)$/.exec(location.hash);
  try { return found && decodeURIComponent(found[1]); } catch { return null; }
}

function draw() {
  if (!now.overview) return;
  const name = route();
  const { bridge, version, routes } = now.overview;
  const view = h("div", { id: "view" }, name === null ? overview() : detail(name));
  const focused = document.activeElement;
  morph($("view"), view);
  if (focused !== document.activeElement && focused?.isConnected) focused.focus({ preventScroll: true });
  const halted = routes.filter((shown) => shown.state.name === "halted").length;
  document.title = `${halted ? `(${halted} halted) ` : ""}${name ?? bridge} – sfbridge`;
  $("bridge").textContent = bridge;
  // A link carries no token.
  $("links").hidden = token !== null;
  $("version").textContent = `sfbridge ${version}`;
}

// ---- what a person does

const ASKED = {
  pause: () => "It delivers nothing more until somebody resumes it, also on the other instances and after a restart.",
  resume: (shown) => shown.state.name === "halted"
    ? "It goes on where it stopped; if it halted at a gap, past that gap. What halted it must be mended, or it halts again."
    : "It goes on where it stopped.",
  restart: () => "It stops, then starts again from its stored position.",
};

function confirm(command, name) {
  const shown = now.overview?.routes.find((one) => one.name === name);
  if (!shown) return;
  const dialog = $("ask"), yes = $("ask-yes"), error = $("ask-error");
  const word = command[0].toUpperCase() + command.slice(1);
  $("ask-title").textContent = `${word} ${name}?`;
  const kept = command === "pause" && shown.direction === "to_kafka" ? " Salesforce keeps events for 72 hours." : "";
  $("ask-text").textContent = ASKED[command](shown) + kept;
  error.textContent = "";
  yes.textContent = word;
  yes.disabled = false;
  dialog.querySelector("form").onsubmit = async (event) => {
    event.preventDefault();
    yes.disabled = true;
    error.textContent = "";
    try {
      await ask(`api/routes/${encodeURIComponent(name)}/${command}`, { method: "POST", headers: { "X-Sfbridge": "1" } });
      dialog.close();
      await refresh();
    } catch (refused) {
      error.textContent = `Not done: ${refused.message}`;
      yes.disabled = false;
    }
  };
  dialog.showModal();
  $("ask-no").focus();
}

async function copy(button, id) {
  const text = $(id);
  try {
    await navigator.clipboard.writeText(text.textContent);
    say("Copied", false);
  } catch {
    // Only pages over TLS or on this machine may write the clipboard: select it for the person.
    getSelection().selectAllChildren(text);
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button?.dataset.command) confirm(button.dataset.command, button.dataset.route);
  if (button?.dataset.copy) copy(button, button.dataset.copy);
  if (button?.id === "ask-no") $("ask").close();
});
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  $("main").focus();
});
window.addEventListener("hashchange", async () => {
  draw();
  scrollTo(0, 0);
  await refresh();
});
live();
