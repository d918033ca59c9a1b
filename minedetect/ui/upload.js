// The server checks all of this again; here it only spares a long wait for a refusal.
const megabytes = (n) => (n >= 1e9 ? (n / 1e9).toFixed(1) + " GB" : Math.max(0.1, n / 1e6).toFixed(1) + " MB");

export default function ({ parentElement, data, setStateValue }) {
  const find = (what) => parentElement.querySelector(what);
  const zone = find(".zone"), input = find("input"), bar = find("progress"), told = find(".told"), stop = find(".stop");
  find(".name").textContent = data.label;
  find(".hint").textContent = data.hint;
  input.accept = data.suffixes.join(",");
  bar.setAttribute("aria-label", "Progress of the upload");

  const say = (text, bad) => {
    told.textContent = text;
    told.classList.toggle("bad", Boolean(bad));
  };
  const busy = (on) => {
    bar.hidden = stop.hidden = !on;
    input.disabled = on;
  };
  const problem = (text, otherwise) => {
    try { return JSON.parse(text).problem || otherwise; } catch { return otherwise; }
  };
  const headers = (file) => ({ "x-upload-token": data.token, "x-file-name": encodeURIComponent(file.name) });

  const send = async (file) => {
    const suffix = (file.name.toLowerCase().match(/\.[^.]*$/) || [""])[0];
    if (!data.suffixes.includes(suffix)) {
      return say(`${file.name} was not taken: its name must end in ${data.suffixes.join(", ")}.`, true);
    }
    if (file.size > data.largest[suffix]) {
      return say(`${file.name} has ${megabytes(file.size)}; at most ${megabytes(data.largest[suffix])} are taken.`, true);
    }
    busy(true);
    say(`Asking whether ${file.name} may come`);
    try {
      const answer = await fetch(`${data.url}?size=${file.size}`, { headers: headers(file) });
      if (!answer.ok) throw new Error(problem(await answer.text(), "The server refused the file."));
      const stored = await put(file);
      say(`${file.name} has arrived` + (stored.reused ? "; it was here before, so nothing was stored twice." : "."));
      setStateValue("stored", stored.id);
    } catch (error) {
      say(error instanceof TypeError ? "The server does not answer. Is it still running? Try again." : error.message, true);
    } finally {
      busy(false);
      input.value = "";
    }
  };
  const put = (file) => new Promise((done, fail) => {
    const request = new XMLHttpRequest();
    let spoken = -1;
    request.open("PUT", data.url);
    for (const [name, value] of Object.entries(headers(file))) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => {
      const percent = Math.floor((100 * event.loaded) / event.total);
      bar.value = percent;
      if (Math.floor(percent / 10) !== spoken) {
        spoken = Math.floor(percent / 10);
        say(`${file.name}: ${percent} % of ${megabytes(file.size)}`);
      }
    };
    request.onload = () => (request.status === 200
      ? done(JSON.parse(request.responseText))
      : fail(new Error(problem(request.responseText, `The server refused the file (${request.status}).`))));
    request.onerror = () => fail(new Error("The upload broke off. Is the server still running, with room on its disk? Try again."));
    request.onabort = () => fail(new Error("The upload was stopped; nothing of it was kept."));
    stop.onclick = () => request.abort();
    zone.running = request;
    request.send(file);
  });

  input.onchange = () => input.files.length && send(input.files[0]);
  zone.ondragover = (event) => { event.preventDefault(); zone.classList.add("over"); };
  zone.ondragleave = () => zone.classList.remove("over");
  zone.ondrop = (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    const files = event.dataTransfer.files;
    if (files.length !== 1) say("Drop one file at a time.", true);
    else if (!input.disabled) send(files[0]);
  };
  return () => zone.running && zone.running.abort();
}
