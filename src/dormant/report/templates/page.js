(() => {
  "use strict";
  const PER_PAGE = 20;
  const data = JSON.parse(document.getElementById("data").textContent);
  const at = (id) => document.getElementById(id);
  const models = data.hasBase ? ["base", "tuned"] : ["tuned"];
  const state = { query: "", ability: "", transform: "", outcome: "", page: 0 };

  // Prompts are shown as text nodes only: nothing in them is ever parsed as markup.
  const make = (tag, text, name) => {
    const node = document.createElement(tag);
    if (text !== undefined && text !== null) node.textContent = text;
    if (name) node.className = name;
    return node;
  };
  const option = (value, text) => {
    const node = make("option", text);
    node.value = value;
    return node;
  };
  const number = (value) =>
    typeof value === "number" ? value.toFixed(2).replace("-", "−") : value ?? "–";

  const transformOf = (item) => {
    const ability = data.abilities[item.a];
    if (state.transform) return state.transform;
    return ability.best ?? ability.transforms[0];
  };
  const cellOf = (item, transform, model) => item.c[transform]?.[model];
  const rightOf = (item, transform, model) => cellOf(item, transform, model)?.ok;

  const outcomes = data.hasBase
    ? {
        "": ["any", () => true],
        lost: ["lost by tuning", (i) => rightOf(i, "plain", "base") === 1 && rightOf(i, "plain", "tuned") === 0],
        back: [
          "lost, back under the transform",
          (i, s) =>
            rightOf(i, "plain", "base") === 1 && rightOf(i, "plain", "tuned") === 0 && rightOf(i, s, "tuned") === 1,
        ],
        kept: ["kept", (i) => rightOf(i, "plain", "base") === 1 && rightOf(i, "plain", "tuned") === 1],
        learnt: ["won by tuning", (i) => rightOf(i, "plain", "base") === 0 && rightOf(i, "plain", "tuned") === 1],
        never: ["wrong in both", (i) => rightOf(i, "plain", "base") === 0 && rightOf(i, "plain", "tuned") === 0],
      }
    : {
        "": ["any", () => true],
        wrong: ["wrong when plain", (i) => rightOf(i, "plain", "tuned") === 0],
        back: [
          "wrong when plain, right under the transform",
          (i, s) => rightOf(i, "plain", "tuned") === 0 && rightOf(i, s, "tuned") === 1,
        ],
        right: ["right when plain", (i) => rightOf(i, "plain", "tuned") === 1],
      };

  const haystacks = new Map();
  const haystack = (item) => {
    if (!haystacks.has(item)) {
      haystacks.set(item, `${item.i}\n${data.abilities[item.a].task}\n${item.s.join("\n")}`.toLocaleLowerCase());
    }
    return haystacks.get(item);
  };

  const matching = () => {
    const words = state.query.toLocaleLowerCase().split(/\s+/).filter(Boolean);
    const [, fits] = outcomes[state.outcome];
    return data.items.filter((item) => {
      if (state.ability !== "" && item.a !== Number(state.ability)) return false;
      const transform = transformOf(item);
      if (state.transform && !item.c[transform]) return false;
      return fits(item, transform) && words.every((word) => haystack(item).includes(word));
    });
  };

  const snippet = (item) => {
    const cell = cellOf(item, "plain", "tuned") ?? Object.values(Object.values(item.c)[0])[0];
    const blocks = item.s[cell.p].trim().split(/\n\s*\n/);
    return blocks[blocks.length - 1].split("\n").join("  ⏎  ");
  };

  const marks = (item, transform) => {
    const group = make("span");
    const told = [];
    models.forEach((model, index) => {
      const cell = cellOf(item, transform, model);
      if (index) group.append(" → ");
      if (!cell) {
        group.append("–");
        told.push(`${model} not scored`);
        return;
      }
      const mark = make("span", cell.ok ? "✓" : "✗", cell.ok ? "yes" : "no");
      group.append(mark);
      told.push(`${model} ${cell.ok ? "right" : "wrong"}`);
    });
    const label = `${transform}: ${told.join(", ")}`;
    group.setAttribute("role", "img");
    group.setAttribute("aria-label", label);
    group.title = label;
    if (transform !== "plain") group.append(make("span", ` ${transform}`, "quiet"));
    return group;
  };

  const outcomeTable = (item, transform, model) => {
    const cell = cellOf(item, transform, model);
    const table = make("table");
    const caption = make("caption");
    caption.append(make("b", model), " ");
    if (!cell) {
      caption.append(make("span", "not scored", "quiet"));
      table.append(caption);
      return table;
    }
    caption.append(make("span", cell.ok ? "✓ right" : "✗ wrong", cell.ok ? "yes" : "no"));
    const notes = [];
    if (cell.o !== undefined) notes.push(`log-odds ${number(cell.o)}`);
    if (cell.x) notes.push(`other answers ${cell.x.map(number).join(", ")}`);
    if (cell.label !== undefined) notes.push(item.s[cell.label]);
    if (notes.length) caption.append(make("span", ` · ${notes.join(" · ")}`, "quiet"));
    table.append(caption);
    const head = table.createTHead().insertRow();
    for (const title of ["", "answer", "log p", "greedy"]) {
      const th = make("th", title);
      th.scope = "col";
      head.append(th);
    }
    const body = table.createTBody();
    const line = (name, place, logprob, greedy) => {
      const row = body.insertRow();
      const th = make("th", name);
      th.scope = "row";
      const answer = make("td");
      answer.append(make("code", item.s[place].trim() || "(empty)"));
      row.append(th, answer, make("td", number(logprob)), make("td", greedy === undefined ? "–" : greedy ? "yes" : "no"));
    };
    line("target", cell.t, cell.l, cell.g);
    if (cell.d !== undefined) line("distractor", cell.d, cell.m, cell.h);
    return table;
  };

  const fourCells = (item) => {
    const grid = make("div", null, "four");
    for (const transform of new Set(["plain", transformOf(item)])) {
      if (!transform) continue;
      const column = make("div");
      column.append(make("h4", transform));
      const prompts = new Map();
      for (const model of models) {
        const cell = cellOf(item, transform, model);
        if (cell) prompts.set(cell.p, [...(prompts.get(cell.p) ?? []), model]);
      }
      for (const [place, readers] of prompts) {
        // Only where the models were shown different prompts does it matter who read which.
        if (prompts.size > 1) column.append(make("p", `prompt of ${readers.join(", ")}`, "quiet"));
        const pre = make("pre", item.s[place]);
        pre.tabIndex = 0;
        pre.dir = "auto";
        pre.setAttribute("aria-label", `Prompt, ${transform}`);
        pre.setAttribute("role", "group");
        column.append(pre);
      }
      for (const model of models) {
        column.append(outcomeTable(item, transform, model));
        const output = cellOf(item, transform, model)?.out;
        if (output !== undefined) {
          column.append(make("p", `what ${model} wrote`, "quiet"), make("pre", item.s[output], "output"));
        }
      }
      grid.append(column);
    }
    return grid;
  };

  const entry = (item) => {
    const li = make("li");
    const details = make("details");
    const summary = make("summary");
    const cells = make("span", null, "cellmarks");
    cells.append(marks(item, "plain"));
    const transform = transformOf(item);
    if (transform) cells.append(marks(item, transform));
    summary.append(
      make("span", `${data.abilities[item.a].task} ${item.i}`, "id"),
      make("span", snippet(item), "snippet"),
      cells,
    );
    details.append(summary);
    details.addEventListener("toggle", () => {
      if (details.open && details.childElementCount === 1) details.append(fourCells(item));
    });
    li.append(details);
    return li;
  };

  const draw = () => {
    const found = matching();
    const pages = Math.max(1, Math.ceil(found.length / PER_PAGE));
    state.page = Math.min(state.page, pages - 1);
    const start = state.page * PER_PAGE;
    at("listing").replaceChildren(...found.slice(start, start + PER_PAGE).map(entry));
    at("count").textContent = found.length
      ? `${found.length} of ${data.items.length} items; ${models.join(" → ")} right ✓ or wrong ✗`
      : "No item fits. Clear the search or widen a filter.";
    at("head-s").textContent = state.transform || "best of each";
    at("page").textContent = `Page ${state.page + 1} of ${pages}`;
    at("previous").disabled = state.page === 0;
    at("next").disabled = state.page >= pages - 1;
  };

  const change = (name, value) => {
    state[name] = value;
    state.page = 0;
    draw();
  };

  at("ability").append(option("", "all"), ...data.abilities.map((ability, index) => option(String(index), ability.task)));
  const transforms = [...new Set(data.abilities.flatMap((ability) => ability.transforms))];
  at("transform").append(option("", "the best of each"), ...transforms.map((name) => option(name, name)));
  at("outcome").append(...Object.entries(outcomes).map(([value, [text]]) => option(value, text)));
  for (const name of ["ability", "transform", "outcome"]) {
    at(name).addEventListener("change", (event) => change(name, event.target.value));
  }
  let waiting;
  at("query").addEventListener("input", (event) => {
    clearTimeout(waiting);
    waiting = setTimeout(() => change("query", event.target.value), 120);
  });
  at("query").form.addEventListener("submit", (event) => event.preventDefault());
  for (const button of document.querySelectorAll(".all-flips")) {
    button.hidden = false;
    button.addEventListener("click", () => {
      Object.assign(state, button.dataset, { page: 0 });
      for (const name of ["ability", "outcome"]) at(name).value = state[name];
      draw();
      at("items").scrollIntoView();
    });
  }
  at("previous").addEventListener("click", () => { state.page -= 1; draw(); });
  at("next").addEventListener("click", () => { state.page += 1; draw(); });
  document.addEventListener("keydown", (event) => {
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement?.tagName ?? "");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      at("query").focus();
    }
  });
  at("browser").hidden = false;
  draw();
})();
