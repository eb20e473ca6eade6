// Of the page as it is: what is wrong with it, and how many texts were measured.
() => {
  const wrong = [];
  const visible = (node) => node.checkVisibility({ visibilityProperty: true });
  for (const node of document.querySelectorAll("button, input, select, textarea, a[href], summary, [role]")) {
    const labels = (node.getAttribute("aria-labelledby") ?? "").split(" ").map((id) => document.getElementById(id)?.textContent);
    const name = node.getAttribute("aria-label") || labels.join("") || [...(node.labels ?? [])].map((l) => l.textContent).join("")
      || (node.matches("input, select, textarea") ? "" : node.textContent);
    if (!name.trim() && !["status", "alert"].includes(node.getAttribute("role"))) wrong.push(`no name: ${node.outerHTML}`);
  }
  const ids = [...document.querySelectorAll("[id]")].map((node) => node.id);
  wrong.push(...ids.filter((id, place) => ids.indexOf(id) !== place).map((id) => `id twice: ${id}`));
  for (const node of document.querySelectorAll("[aria-labelledby], [aria-describedby], [for]"))
    for (const name of ["aria-labelledby", "aria-describedby", "for"])
      for (const id of (node.getAttribute(name) ?? "").split(" ").filter(Boolean))
        if (!document.getElementById(id)) wrong.push(`${name}=${id} names nothing`);
  for (const image of document.querySelectorAll("img")) if (image.getAttribute("alt") === null) wrong.push("no alt");
  let level = 0;
  for (const title of [...document.querySelectorAll("h1, h2, h3, h4")].filter(visible)) {
    const next = Number(title.tagName[1]);
    if (next > level + 1) wrong.push(`heading ${title.textContent} skips a level`);
    level = next;
  }
  if (document.querySelectorAll("h1").length !== 1) wrong.push("not one h1");
  for (const tag of ["main", "header", "footer", "aside", "nav", "[role=search]"])
    if (document.querySelectorAll(tag).length !== 1) wrong.push(`not one ${tag}`);
  if (!document.documentElement.lang || !document.title) wrong.push("no language or title");

  // WCAG 2: relative luminance and contrast; text of 4.5, borders of controls of 3.
  const numbers = (color) => color.match(/[\d.]+/g).map(Number);
  const ground = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const [r, g, b, alpha = 1] = numbers(getComputedStyle(at).backgroundColor);
      if (alpha === 1) return [r, g, b];
    }
    return [255, 255, 255];
  };
  const luminance = (color) => {
    const [r, g, b] = color.map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (one, other) => {
    const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  let measured = 0;
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const node = texts.currentNode.parentElement;
    if (!texts.currentNode.textContent.trim() || !visible(node) || node.closest("noscript, script, style, option, .unseen, :disabled")) continue;
    const value = contrast(numbers(getComputedStyle(node).color).slice(0, 3), ground(node));
    measured += 1;
    if (value < 4.5) wrong.push(`contrast ${value.toFixed(2)}: ${node.textContent.slice(0, 40)}`);
  }
  for (const node of document.querySelectorAll("textarea, select, input[type=search], #search button, .drop")) {
    if (!visible(node)) continue;
    const value = contrast(numbers(getComputedStyle(node).borderTopColor).slice(0, 3), ground(node.parentElement));
    if (value < 3) wrong.push(`border ${value.toFixed(2)}: ${node.outerHTML.slice(0, 60)}`);
  }
  if (document.documentElement.scrollWidth > innerWidth) wrong.push(`${document.documentElement.scrollWidth} pixels wide`);
  return [wrong, measured];
}
