// Ten calls to a real relay by the client that openapi-typescript and openapi-fetch make of its document.
//
// Usage: node client.js URL KEY
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

/** Of the media types of an answer, those that this program asks for. */
type Json = "application/json" | "application/problem+json";

declare const process: { argv: string[] };

const [url, key] = process.argv.slice(2);
const relay = createClient<paths, Json>({ baseUrl: url, headers: { authorization: `Bearer ${key}` } });
let calls = 0;

/** What was answered, when the call succeeded. */
function good<T>(answer: { data?: T; error?: components["schemas"]["Problem"] }): T {
  calls += 1;
  if (answer.data === undefined) throw new Error(`call ${calls}: ${JSON.stringify(answer.error)}`);
  return answer.data;
}

function equal<T>(given: T, expected: T): void {
  if (given !== expected) throw new Error(`call ${calls}: ${given} is not ${expected}`);
}

const path = { topic: "typed" };
equal(good(await relay.GET("/readyz")).status, "ok");
equal(good(await relay.PUT("/v1/topics/{topic}", { params: { path }, body: {} })).head, 0);
const event: components["schemas"]["CloudEvent"] = {
  specversion: "1.0", id: "1", source: "/typed", type: "made", partitionkey: "a", data: { n: 1 },
};
const published = good(await relay.POST("/v1/topics/{topic}/events", {
  params: { path }, body: event, headers: { "content-type": "application/cloudevents+json" },
}));
equal(published.events[0].version, 1);
const page = good(await relay.GET("/v1/topics/{topic}/events", { params: { path, query: { limit: 5 } } }));
equal(page.events[0].version, 1);
equal(page.events[0].id, "1");
const made = good(await relay.POST("/v1/subscriptions", {
  body: { name: "typed", topic: "typed", webhook: { url: "http://127.0.0.1:9/" }, from: "latest" },
}));
equal(made.status, "active");
const changed = good(await relay.PATCH("/v1/subscriptions/{name}", {
  params: { path: { name: "typed" } }, body: { rate: "10/s", order: "key" },
}));
equal(changed.rate, "10/s");

const held = good(await relay.GET("/v1/subscriptions/{name}", { params: { path: { name: "held" } } }));
equal(held.health?.state, "holding");
equal(typeof held.health?.next_trial, "string");
const dead = good(await relay.GET("/v1/subscriptions/{name}/dead-letters", {
  params: { path: { name: "refused" }, query: { reason: "refused", limit: 1 } },
}));
equal(dead.dead_letters[0].event?.source, "/numbers");

const { error } = await relay.GET("/v1/topics/{topic}", { params: { path: { topic: "none" } } });
calls += 1;
const code: components["schemas"]["ProblemCode"] | undefined = error?.code;
equal(code, "not_found");
const gone = await relay.DELETE("/v1/subscriptions/{name}", { params: { path: { name: "typed" } }, body: {} });
calls += 1;
equal(gone.response.status, 204);
console.log(calls);
