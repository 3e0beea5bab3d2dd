// Checks a file of requests with the official JavaScript libraries; see check.py for what its lines
// are. The packages are below the directory that MILKRUN_TEST_NODE_MODULES names.

const assert = require("node:assert/strict");
const crypto = require("node:crypto");
const fs = require("node:fs");
const { createRequire } = require("node:module");

const installed = createRequire(`${process.env.MILKRUN_TEST_NODE_MODULES}/`);
const { Webhook, WebhookVerificationError } = installed("standardwebhooks");
const { HTTP } = installed("cloudevents");

const counts = {};
const count = (name) => { counts[name] = (counts[name] ?? 0) + 1; };

class Refused extends Error {}

/** ed25519 as OpenSSL has it. */
function ed25519(text) {
  assert(text.startsWith("whpk_"));
  const x = Buffer.from(text.slice(5), "base64").toString("base64url");
  const key = crypto.createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
  return (body, headers) => {
    const signed = `${headers["webhook-id"]}.${headers["webhook-timestamp"]}.`;
    const [signature] = headers["webhook-signature"].split(" ").map((one) => one.split(","))
      .filter(([kind]) => kind === "v1a").map(([, value]) => Buffer.from(value, "base64"));
    const all = Buffer.concat([Buffer.from(signed), body]);
    if (!crypto.verify(null, all, key, signature)) throw new Refused();
  };
}

function refuses(verify, body, headers) {
  assert.throws(() => verify(body, headers),
    (error) => error instanceof WebhookVerificationError || error instanceof Refused);
  count("refused");
}

function signature({ secrets, public: key, headers }, body) {
  const verifiers = secrets.map((secret) => {
    const hook = new Webhook(secret);
    return (body, headers) => hook.verify(body, headers);
  });
  for (const verify of [...verifiers, ed25519(key)]) {
    verify(body, headers);
    count("verified");
    refuses(verify, Buffer.concat([body, Buffer.from(" ")]), headers);
    refuses(verify, Buffer.concat([body.subarray(0, -1), Buffer.from(")")]), headers);
    refuses(verify, body, { ...headers, "webhook-id": `${headers["webhook-id"]}0` });
  }
}

function vector({ secrets, public: key, headers }, body) {
  const at = new Date(Number(headers["webhook-timestamp"]) * 1000);
  const signed = new Webhook(secrets[0]).sign(headers["webhook-id"], at, body.toString());
  assert(headers["webhook-signature"].split(" ").includes(signed), signed);
  ed25519(key)(body, headers);
}

function event({ headers, expected }, body) {
  const isBinary = "ce-id" in headers;
  const got = [HTTP.toEvent({ headers, body: body.toString() })].flat();
  assert.equal(got.length, expected.length);
  expected.forEach(([attributes, data], at) => {
    const { specversion, data: _, data_base64: __, ...own } = got[at].toJSON();
    // The library puts the present in the place of a time that is not there.
    if (!("time" in attributes)) delete own.time;
    // The library leaves what is percent-encoded in headers as it is.
    const decoded = ([name, value]) =>
      [name, isBinary && name !== "datacontenttype" ? decodeURIComponent(value) : value];
    const found = Object.entries(own).filter(([, value]) => value !== undefined).map(decoded);
    assert.deepEqual(texts(found), texts(Object.entries(attributes)));
    // How it reads data that is no JSON depends on the mode.
    if (data !== null && typeof data === "object" && !("bytes" in data)) {
      assert.deepEqual(got[at].data, data);
    }
  });
}

function time({ headers, seconds }, body) {
  const { time: found } = HTTP.toEvent({ headers, body: body.toString() });
  assert.equal(Math.floor(new Date(found).getTime() / 1000), seconds, found);
}

/** Headers have texts only, and times are moments. */
function texts(entries) {
  const text = ([name, value]) => {
    if (name === "time") return [name, new Date(value).toISOString()];
    return [name, typeof value === "string" ? value : JSON.stringify(value)];
  };
  return Object.fromEntries(entries.map(text));
}

for (const text of fs.readFileSync(process.argv[2], "utf8").trimEnd().split("\n")) {
  const line = JSON.parse(text);
  ({ signature, vector, event, time })[line.check](line, Buffer.from(line.body, "base64"));
  count(line.check);
}
console.log(JSON.stringify(counts));
