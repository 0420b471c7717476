// The API's description, for people.

const doc = await (await fetch("openapi.json")).json();
document.getElementById("description").textContent = doc.info.description;

function element(tag, text, ...children) {
  const node = document.createElement(tag);
  node.textContent = text;
  node.append(...children);
  return node;
}

function row(name, about) {
  return element("tr", "", element("td", "", element("code", name)), element("td", about));
}

/** What a value may be, in words. */
function kind(schema) {
  const kinds = [schema.type ?? ""].flat().filter((name) => name !== "null").join(" or ");
  const values = schema.enum ?? schema.items?.enum;
  const usual = schema.default === undefined ? "" : `; default: ${schema.default}`;
  return `${values ? values.join(", ") : kinds}${usual}. ${schema.description ?? ""}`;
}

for (const [path, methods] of Object.entries(doc.paths)) {
  for (const [method, operation] of Object.entries(methods)) {
    const name = element("span", `${method} `);
    name.className = "method";
    const rows = (operation.parameters ?? []).map((p) => row(p.name, `${p.in}: ${p.description}`));
    const fields = operation.requestBody?.content["multipart/form-data"].schema.properties ?? {};
    for (const [field, schema] of Object.entries(fields)) rows.push(row(field, kind(schema)));
    for (const [status, answer] of Object.entries(operation.responses)) rows.push(row(status, answer.description ?? doc.components.responses.Error.description));
    const heading = element("h2", "", name, element("code", path));
    document.querySelector("main").append(element("section", "", heading, element("p", operation.summary), element("table", "", ...rows)));
  }
}
