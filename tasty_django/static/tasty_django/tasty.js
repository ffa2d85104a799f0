// The live part of the pages. Without it everything works all the same: forms post, and a reload shows how far a
// synchronisation has come. Nothing here builds markup from data: it places what the server rendered and escaped.
(() => {
  "use strict";

  const EVERY = 1000; // how often to ask while a synchronisation is under way, in milliseconds
  const SLOWER = 5000; // after failures, and after a long wait
  const LONG = 120; // questions after which it asks less often

  const parsed = (html) => new DOMParser().parseFromString(html, "text/html");

  // a second click while the first is under way asks for nothing new
  for (const form of document.querySelectorAll("form[data-once]")) {
    let sent = false;
    form.addEventListener("submit", (event) => {
      if (sent) event.preventDefault();
      sent = true;
    });
    // the page may come back from the browser's memory
    window.addEventListener("pageshow", () => { sent = false; });
  }

  const panel = document.getElementById("tasty-sync");
  if (!panel) return;
  const body = document.getElementById("tasty-sync-body");
  const voice = document.getElementById("tasty-sync-voice");
  const form = panel.querySelector("form");
  const button = form && form.querySelector("button");
  let timer = null;
  let asked = 0;

  const isOpen = () => body.firstElementChild?.dataset.open === "true";

  function say(text) {
    // only a change is announced, not every question
    if (voice.textContent !== text) voice.textContent = text;
  }

  function place(html) {
    const part = parsed(html).querySelector("[data-open]");
    if (!part) throw new Error("no status in the answer");
    body.replaceChildren(document.importNode(part, true));
    say(part.dataset.said);
    if (button) {
      button.setAttribute("aria-disabled", String(isOpen()));
      button.textContent = isOpen() ? button.dataset.busy : button.dataset.idle;
    }
  }

  // whoever is logged out meanwhile is sent to the login page, which is no status
  async function ask(url, options) {
    const answer = await fetch(url, {
      credentials: "same-origin",
      cache: "no-store",
      headers: { "X-Tasty-Fragment": "1" },
      ...options,
    });
    if (answer.redirected || answer.status === 403) {
      window.location.reload();
      return null;
    }
    if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
    return answer.text();
  }

  // the page's numbers anew, without losing the place, the opened tables or the focus
  async function refresh() {
    const numbers = document.getElementById("tasty-numbers");
    if (!numbers) return;
    const html = await ask(window.location.href, { headers: {} });
    const fresh = html && parsed(html).getElementById("tasty-numbers");
    if (!fresh) return;
    const opened = [...numbers.querySelectorAll("details[open][id]")].map((each) => each.id);
    const focused = numbers.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    numbers.replaceChildren(...document.importNode(fresh, true).childNodes);
    for (const id of opened) document.getElementById(id)?.setAttribute("open", "");
    if (focused) [...numbers.querySelectorAll("a[href]")].find((a) => a.getAttribute("href") === focused)?.focus();
  }

  async function poll() {
    timer = null;
    if (document.hidden) return; // goes on when the page is seen again
    asked += 1;
    let wait = asked > LONG ? SLOWER : EVERY;
    try {
      const html = await ask(panel.dataset.status);
      if (html === null) return;
      place(html);
      voice.classList.add("hidden");
    } catch {
      say(panel.dataset.unreachable);
      voice.classList.remove("hidden");
      wait = SLOWER;
    }
    if (isOpen()) later(wait);
    else refresh().catch(() => window.location.reload());
  }

  function later(wait) {
    if (timer === null) timer = window.setTimeout(poll, wait);
  }

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && isOpen()) later(0);
  });

  form?.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (button.getAttribute("aria-disabled") === "true") return;
    button.setAttribute("aria-disabled", "true");
    try {
      const html = await ask(form.action, { method: "POST", body: new FormData(form) });
      if (html === null) return;
      asked = 0;
      place(html);
      later(EVERY);
    } catch {
      form.submit(); // the plain way shows what is wrong
    }
  });

  if (isOpen()) later(EVERY);
})();
