"use strict";
// Asks the server again and again, and puts what is new in place. A page of another kind (the
// report, once it is there) is loaded as a whole.
const PERIOD = 2000;
const trouble = document.getElementById("trouble");

function tell(text) {
  if (trouble.textContent !== text) trouble.textContent = text;
  trouble.hidden = !text;
}

async function refresh() {
  let response;
  let text;
  try {
    response = await fetch(location.href, { cache: "no-store" });
    text = await response.text();
  } catch {
    tell("Nothing answers any more: dormant open was ended. What is below stands as it was.");
    return;
  }
  if (!response.ok) {
    tell(text.trim());
    return;
  }
  // Before it is parsed: another kind of page has a style that this one's policy forbids.
  const state = /<html[^>]*\bdata-state="([^"]*)"/.exec(text)?.[1];
  if (state !== document.documentElement.dataset.state) {
    location.reload();
    return;
  }
  const page = new DOMParser().parseFromString(text, "text/html");
  tell("");
  document.title = page.title;
  const [now, next] = [document.getElementById("main"), page.getElementById("main")];
  if (now.innerHTML !== next.innerHTML) now.replaceChildren(...next.childNodes);
}

async function go() {
  // A page that nobody sees needn't ask.
  if (!document.hidden) await refresh();
  setTimeout(go, PERIOD);
}

document.addEventListener("visibilitychange", () => document.hidden || refresh());
setTimeout(go, PERIOD);
