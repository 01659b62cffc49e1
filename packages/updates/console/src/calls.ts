/** Signed calls to AWS's APIs. The key is held here, in memory, and nowhere else. */

import { Sha256 } from "@aws-crypto/sha256-js";
import { SignatureV4 } from "@smithy/signature-v4";
import { pause } from "./poll.ts";
import type { Settings } from "./settings.ts";
import { Trouble, troubleOf } from "./troubles.ts";

export interface Key {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

export type Query = Record<string, string | number | boolean | undefined>;

const ANSWER_MILLISECONDS = 20_000;
const TRIES = 3;
const FIRST_PAUSE_MILLISECONDS = 400;
const SOCKET_SECONDS = 300;

export class Calls {
  readonly #iot: SignatureV4;
  readonly #function: SignatureV4;
  readonly #socket: SignatureV4;
  readonly #token: string | undefined;
  readonly #settings: Settings;

  constructor(settings: Settings, key: Key) {
    const shared = { region: settings.region, credentials: key, sha256: Sha256 };
    this.#settings = settings;
    this.#iot = new SignatureV4({ ...shared, service: "iot" });
    this.#function = new SignatureV4({ ...shared, service: "lambda" });
    // AWS wants the session token added after the signature here, and nowhere else.
    const { sessionToken, ...bare } = key;
    this.#token = sessionToken;
    this.#socket = new SignatureV4({ ...shared, credentials: bare, service: "iotdevicegateway" });
  }

  /** GET of the management API, again when the server is busy. `path` begins with a slash, its parts are encoded. */
  async get<T>(path: string, query: Query = {}, signal?: AbortSignal): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#send<T>(this.#iot, "GET", this.#address(path, query), undefined, signal);
      } catch (error) {
        if (attempt >= TRIES || !(error instanceof Trouble) || error.kind !== "busy") throw error;
        await pause(FIRST_PAUSE_MILLISECONDS * 2 ** attempt, signal);
      }
    }
  }

  /** POST of the management API that changes nothing. */
  async ask<T>(path: string, body: object, signal?: AbortSignal): Promise<T> {
    return this.#send<T>(this.#iot, "POST", this.#address(path, {}), JSON.stringify(body), signal);
  }

  /** PUT of the management API, once. */
  async put<T>(path: string, query: Query, body: object): Promise<T> {
    return this.#send<T>(this.#iot, "PUT", this.#address(path, query), JSON.stringify(body));
  }

  /** PATCH of the management API, once. */
  async patch<T>(path: string, body: object): Promise<T> {
    return this.#send<T>(this.#iot, "PATCH", this.#address(path, {}), JSON.stringify(body));
  }

  /** The address of MQTT over WebSocket, signed for this moment. */
  async socket(): Promise<string> {
    const { own, iot } = this.#settings;
    const url = own ? new URL(iot) : new URL(`https:${(await this.get<{ endpointAddress: string }>("/endpoint", { endpointType: "iot:Data-ATS" })).endpointAddress}`);
    url.pathname = "/mqtt";
    const port = url.port ? { port: Number(url.port) } : {};
    const request = { method: "GET", protocol: url.protocol, hostname: url.hostname, ...port, path: url.pathname, headers: { host: url.host } };
    const signed = await this.#socket.presign(request, { expiresIn: SOCKET_SECONDS });
    const query = { ...signed.query, ...(this.#token ? { "X-Amz-Security-Token": this.#token } : {}) };
    const members = Object.entries(query).map(([name, value]) => `${name}=${encodeURIComponent(String(value))}`);
    return `${url.protocol === "http:" ? "ws:" : "wss:"}//${url.host}${url.pathname}?${members.join("&")}`;
  }

  /** Asks the function for a job, once: a second request would be a second job. */
  async order<T>(body: object): Promise<T> {
    return this.#send<T>(this.#function, "POST", this.#settings.functionUrl, JSON.stringify(body));
  }

  #address(path: string, query: Query): URL {
    const url = new URL(this.#settings.iot.pathname.replace(/\/$/, "") + path, this.#settings.iot);
    for (const [name, value] of Object.entries(query)) if (value !== undefined) url.searchParams.set(name, String(value));
    return url;
  }

  async #send<T>(signer: SignatureV4, method: string, url: URL, body?: string, signal?: AbortSignal): Promise<T> {
    const headers: Record<string, string> = { host: url.host };
    if (body !== undefined) headers["content-type"] = "application/json";
    const port = url.port ? { port: Number(url.port) } : {};
    const request = {
      method,
      protocol: url.protocol,
      hostname: url.hostname,
      ...port,
      path: url.pathname,
      query: Object.fromEntries(url.searchParams),
      headers,
      body,
    };
    const signed = await signer.sign(request);
    delete signed.headers["host"];
    const limit = AbortSignal.timeout(ANSWER_MILLISECONDS);
    const until = signal ? AbortSignal.any([signal, limit]) : limit;
    let answer: Response;
    let text: string;
    try {
      const init: RequestInit = { method, headers: signed.headers, cache: "no-store", credentials: "omit", signal: until };
      answer = await fetch(encoded(url), body === undefined ? init : { ...init, body });
      text = await answer.text();
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new Trouble("lost", `No answer from ${url.origin}.`);
    }
    if (!answer.ok) throw troubleOf(answer, text);
    return (text ? JSON.parse(text) : {}) as T;
  }
}

/** The address with its query encoded as the signature has it: a blank is %20, never a plus sign. */
function encoded(url: URL): string {
  return url.origin + url.pathname + url.search.replaceAll("+", "%20");
}

/** The parts of a path, each encoded. */
export function path(...parts: string[]): string {
  return parts.map((part) => `/${encodeURIComponent(part)}`).join("");
}
