// The page of `esmtp serve`. Whatever a message says becomes text, never markup: nodes
// are made one by one, and HTML is shown by a frame that may do nothing.

const API = "/api/messages";
const STEP = 50;
const MOST = 500;

const at = (id) => document.getElementById(id);
const [list, entries, none, more] = ["list", "entries", "none", "more"].map(at);
const [view, search, live, sure] = ["message", "search", "live", "sure"].map(at);

let shown = []; // the entries of the list
let wanted = STEP; // how many of them there may be
let asked = 0; // how often the list has been asked for
let current = ""; // the id of the message that is open
let tab = "";

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") {
      for (const [event, act] of Object.entries(value)) node.addEventListener(event, act);
    } else if (value !== false && value !== null) {
      node.setAttribute(name, value === true ? "" : value);
    }
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

async function ask(path, method = "GET") {
  const answer = await fetch(path, { method, headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(`${answer.status} at ${path}`);
  return answer;
}

const path = (id, ...steps) => [API, encodeURIComponent(id), ...steps].join("/");

const today = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const anyDay = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const exactly = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });

function brief(date) {
  return (date.toDateString() === new Date().toDateString() ? today : anyDay).format(date);
}

function octets(count) {
  if (count < 1000) return `${count} octets`;
  const units = ["kB", "MB", "GB"];
  let value = count / 1000;
  while (value >= 1000 && units.length > 1) {
    value /= 1000;
    units.shift();
  }
  return `${value.toFixed(value < 10 ? 1 : 0)} ${units[0]}`;
}

const address = (reversePath) => reversePath || "<>";
const many = (count, word, words) => `${count.toLocaleString()} ${count === 1 ? word : words}`;

// The list

async function refresh() {
  const query = new URLSearchParams({ limit: wanted, search: search.value.trim() });
  asked += 1;
  const turn = asked;
  const answer = await (await ask(`${API}?${query}`)).json();
  if (turn !== asked) return; // a later question is under way
  shown = answer.messages;
  const known = new Map([...entries.children].map((item) => [item.dataset.id, item]));
  const items = shown.map((message) => known.get(message.id) ?? entry(message));
  const focused = document.activeElement?.closest("#entries li");
  place(items);
  if (focused && !focused.isConnected) link(0)?.focus();
  more.hidden = answer.before === null || wanted >= MOST;
  none.hidden = items.length > 0;
  none.textContent = answer.total
    ? "No message has these words."
    : "No messages yet. Send one, and it appears here.";
  document.title = answer.total ? `(${answer.total}) esmtp serve` : "esmtp serve";
  at("clear").disabled = answer.total === 0;
  const count = many(answer.total, "message", "messages");
  if (at("count").textContent !== count) at("count").textContent = count;
  mark();
}

// What stays is not touched: it may be about to be clicked, or have the focus.
function place(items) {
  const staying = new Set(items);
  for (const item of [...entries.children]) if (!staying.has(item)) item.remove();
  items.forEach((item, index) => {
    const there = entries.children[index];
    if (there !== item) entries.insertBefore(item, there ?? null);
  });
}

function entry(message) {
  const date = new Date(message.received);
  return make("li", { "data-id": message.id },
    make("a", { href: `#${message.id}` },
      make("span", { class: "who" }, short(message.from) || address(message.reverse_path)),
      make("time", { datetime: message.received, title: exactly.format(date) }, brief(date)),
      make("span", { class: "subject" }, message.subject || "(no subject)"),
      make("span", { class: "to" },
        `to ${message.recipients.join(", ")}`,
        message.breaches ? make("span", { class: "tag bad" }, "breach") : null)));
}

// The name in "Name" <address>, or whatever else there is.
const short = (from) => from.replace(/\s*<[^<>]*>\s*$/, "").replace(/^"(.*)"$/, "$1").trim() || from;

const link = (index) => entries.children[index]?.querySelector("a");

function mark() {
  for (const item of entries.children) {
    const open = item.dataset.id === current;
    item.firstElementChild.toggleAttribute("aria-current", open);
    if (open) item.firstElementChild.setAttribute("aria-current", "true");
  }
}

// A message

async function open() {
  current = decodeURIComponent(location.hash.slice(1));
  document.body.classList.toggle("reading", current !== "");
  mark();
  if (!current) {
    view.replaceChildren(make("p", { class: "none" }, "Choose a message."));
    return;
  }
  const id = current;
  try {
    const message = await (await ask(path(id))).json();
    if (id === current) show(message);
  } catch {
    if (id === current) {
      view.replaceChildren(make("p", { class: "none" }, "This message is not here any more."));
    }
  }
}

function show(message) {
  const date = new Date(message.received);
  view.replaceChildren(
    make("header", {},
      make("div", { class: "actions" },
        make("a", { class: "button back", href: "#" }, "‹ All messages"),
        make("a", { class: "button", href: path(message.id, "source"), download: `${message.id}.eml` }, "Download"),
        make("button", { type: "button", class: "danger", on: { click: () => remove(message.id) } }, "Delete")),
      make("h1", {}, message.subject || "(no subject)"),
      make("dl", { class: "facts" },
        ...fact("From", message.from || "(none)"),
        ...fact("To", first(message, "To") || message.recipients.map((each) => each.path).join(", ")),
        ...fact("Received", `${exactly.format(date)} · ${octets(message.size)}`)),
      make("p", { class: "tags" },
        make("span", { class: message.tls ? "tag good" : "tag" }, message.tls ? "TLS" : "no TLS"),
        message.username === null ? null : make("span", { class: "tag good" }, `authenticated as ${message.username}`),
        ...message.breaches.map((each) => make("span", { class: "tag bad" }, each)),
        message.problem ? make("span", { class: "tag bad" }, message.problem) : null)),
    attachments(message),
    tabs(message));
  view.scrollTop = 0;
  if (document.body.classList.contains("reading") && matchMedia("(width < 50rem)").matches) view.focus();
}

const first = (message, name) =>
  message.fields.find(([field]) => field.toLowerCase() === name.toLowerCase())?.[1] ?? "";

const fact = (name, value) => [make("dt", {}, name), make("dd", {}, value)];

function attachments(message) {
  if (!message.attachments.length) return "";
  return make("ul", { class: "attachments", "aria-label": "Attachments" },
    ...message.attachments.map((each) =>
      make("li", {},
        make("a", { class: "button", href: path(message.id, "attachments", each.index), download: each.name, title: each.type },
          make("span", { class: "name" }, each.name),
          make("span", { class: "size" }, octets(each.size))))));
}

function tabs(message) {
  const panels = {
    HTML: message.html === null ? null : () => frame(message),
    Text: message.text === null ? null : () => make("pre", {}, message.text),
    Headers: () => table(message.fields),
    Envelope: () => envelope(message),
    Source: () => source(message),
  };
  const names = Object.keys(panels).filter((name) => panels[name]);
  const panel = make("div", { role: "tabpanel", id: "panel", tabindex: 0 });
  const buttons = names.map((name) =>
    make("button", { type: "button", role: "tab", id: `tab-${name}`, "aria-controls": "panel",
      on: { click: () => choose(name) } }, name));
  function choose(name) {
    for (const button of buttons) {
      const chosen = button.textContent === name;
      button.setAttribute("aria-selected", chosen);
      button.tabIndex = chosen ? 0 : -1;
    }
    panel.setAttribute("aria-labelledby", `tab-${name}`);
    panel.replaceChildren(panels[name]());
    tab = name;
  }
  function turn(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const next = (buttons.indexOf(event.target) + step + buttons.length) % buttons.length;
    choose(names[next]);
    buttons[next].focus();
  }
  choose(names.includes(tab) ? tab : names[0]);
  return make("section", { class: "content" },
    make("div", { role: "tablist", "aria-label": "Views of the message", on: { keydown: turn } }, ...buttons),
    panel);
}

function frame(message) {
  return make("iframe", {
    title: "The message's HTML",
    sandbox: "allow-popups allow-popups-to-escape-sandbox",
    referrerpolicy: "no-referrer",
    src: path(message.id, "html"),
  });
}

function table(rows) {
  return make("dl", { class: "fields" }, ...rows.flatMap(([name, value]) => fact(name, value)));
}

const parameters = (given) => Object.entries(given)
  .map(([name, value]) => (value === null ? name : `${name}=${value}`)).join(" ");

function envelope(message) {
  const rows = [
    ["Queue id", message.id],
    ["Reverse-path", address(message.reverse_path)],
    ["with MAIL", parameters(message.mail_parameters)],
    ...message.recipients.flatMap((each) => [
      ["Forward-path", each.path], ["with RCPT", parameters(each.parameters)]]),
    ["Mail data by", message.via],
    ["XCLIENT", parameters(message.xclient)],
    ["XFORWARD", parameters(message.xforward)],
  ];
  return make("div", {},
    table(rows.filter(([, value]) => value)),
    make("h2", {}, "What was said"),
    make("pre", { class: "said" }, ...message.conversation.map((line) =>
      make("span", { class: line.startsWith("C:") ? "client" : "server" }, `${line}\n`))));
}

function source(message) {
  const pre = make("pre", { class: "source" }, "Loading");
  ask(path(message.id, "source"))
    .then((answer) => answer.text())
    .then((text) => { pre.textContent = text; })
    .catch(() => { pre.textContent = "It cannot be read."; });
  return pre;
}

// Deleting

async function remove(id) {
  const place = shown.findIndex((message) => message.id === id);
  const next = shown[place + 1] ?? shown[place - 1];
  await ask(path(id), "DELETE").catch(() => {});
  location.hash = next && !matchMedia("(width < 50rem)").matches ? next.id : "";
  await refresh();
}

at("clear").addEventListener("click", () => sure.showModal());
sure.addEventListener("close", async () => {
  if (sure.returnValue !== "yes") return;
  await ask(API, "DELETE").catch(() => {});
  location.hash = "";
  await refresh();
});

// Moving about

search.addEventListener("input", () => { wanted = STEP; later(refresh, 150); });
more.addEventListener("click", () => { wanted = Math.min(wanted + STEP, MOST); refresh(); });
addEventListener("hashchange", open);

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || sure.open) return;
  if (event.target.matches("input")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const place = shown.findIndex((message) => message.id === current);
  const keys = {
    "/": () => search.focus(),
    j: () => go(place + 1),
    k: () => go(place < 0 ? 0 : place - 1),
    Escape: () => { location.hash = ""; },
    Delete: () => { if (current) remove(current); },
  };
  if (!keys[event.key]) return;
  event.preventDefault();
  keys[event.key]();
});

function go(place) {
  const target = link(Math.max(0, Math.min(place, shown.length - 1)));
  if (!target) return;
  location.hash = target.hash;
  target.focus();
  target.scrollIntoView({ block: "nearest" });
}

// Being told

let timer = 0;
function later(act, milliseconds) {
  clearTimeout(timer);
  timer = setTimeout(() => act().catch(lost), milliseconds);
}

function lost() {
  live.textContent = "not reached";
  live.className = "live lost";
}

const events = new EventSource("/api/events");
events.onopen = () => { live.textContent = "live"; live.className = "live on"; };
events.onmessage = () => later(refresh, 50);
events.onerror = lost;

refresh().catch(lost);
open();
