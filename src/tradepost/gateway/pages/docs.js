const box = document.querySelector("input");
if (box) {
  const rows = [...document.querySelectorAll("details")];
  const show = () => {
    const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) row.hidden = !words.every((word) => row.dataset.words.includes(word));
    for (const part of document.querySelectorAll("section")) part.hidden = !part.querySelector("details:not([hidden])");
  };
  box.addEventListener("input", show);
  const opened = document.getElementById(location.hash.slice(1));
  if (opened) opened.open = true;
}
