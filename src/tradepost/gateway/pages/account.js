const form = document.querySelector("form"), outcome = document.querySelector("#outcome");
const token = () => new URLSearchParams(location.hash.slice(1)).get("token");
const tell = (text) => { outcome.textContent = text; outcome.focus(); };
const look = () => {
  form.hidden = false;
  outcome.textContent = token() ? "" : form.dataset.incomplete;
};
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (!token()) return look();
  const button = form.querySelector("button");
  button.disabled = true;
  try {
    const answer = await fetch(form.dataset.action, {
      method: "POST",
      headers: {"Content-Type": "application/json"},
      body: JSON.stringify({...Object.fromEntries(new FormData(form)), token: token()}),
    });
    const problem = answer.ok ? null : await answer.json();
    if (!problem) {
      form.reset();
      form.hidden = true;
      history.replaceState(null, "", location.pathname);
    }
    tell(!problem ? form.dataset.done : problem.error === "invalid_request" ? form.dataset.rule : problem.detail);
  } catch {
    tell("The shop could not be reached. Please try again in a moment.");
  }
  button.disabled = false;
});
addEventListener("hashchange", look);
look();
