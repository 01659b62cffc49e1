/**
 * As much of MQTT 5 as listening takes: CONNECT, SUBSCRIBE with QoS 0 and PINGREQ go out; CONNACK, SUBACK, PUBLISH, PINGRESP and
 * DISCONNECT come in. (OASIS MQTT 5.0, chapters 2 and 3.)
 */

export interface Heard {
  /** Subscribed; for each filter whether it was granted. */
  ready(granted: boolean[]): void;
  message(topic: string, payload: Uint8Array): void;
  /** It is over, for whatever reason; the last call. */
  closed(why: string): void;
}

const CONNACK = 2, PUBLISH = 3, SUBACK = 9, DISCONNECT = 14;
const FAILURE = 0x80;
const PACKET_BYTES_MAX = 160 * 1024;
const KEEP_ALIVE_SECONDS = 120;
const PING_MILLISECONDS = 50_000;
const READY_MILLISECONDS = 10_000;

export class Listening {
  readonly #socket: WebSocket;
  readonly #filters: string[];
  readonly #heard: Heard;
  readonly #timers: number[] = [];
  #bytes = new Uint8Array();
  #alive = true;
  #ready = false;
  #over = false;

  /** Connects to a signed address and subscribes. */
  constructor(address: string, clientId: string, filters: string[], heard: Heard) {
    this.#filters = filters;
    this.#heard = heard;
    this.#socket = new WebSocket(address, "mqtt");
    this.#socket.binaryType = "arraybuffer";
    this.#socket.addEventListener("open", () => this.#send(0x10, [...string("MQTT"), 5, 2, ...short(KEEP_ALIVE_SECONDS), 0, ...string(clientId)]));
    this.#socket.addEventListener("message", (event) => this.#take(new Uint8Array(event.data as ArrayBuffer)));
    this.#socket.addEventListener("close", () => this.close("the connection was closed"));
    this.#timers.push(setTimeout(() => this.#ready || this.close("no answer"), READY_MILLISECONDS));
    this.#timers.push(setInterval(() => this.#ping(), PING_MILLISECONDS));
  }

  close(why = ""): void {
    if (this.#over) return;
    this.#over = true;
    this.#timers.forEach(clearTimeout);
    if (this.#socket.readyState === WebSocket.OPEN) this.#send(0xe0, []);
    this.#socket.close();
    this.#heard.closed(why);
  }

  #ping(): void {
    if (!this.#alive) return this.close("nothing was heard for too long");
    this.#alive = false;
    if (this.#ready) this.#send(0xc0, []);
  }

  #send(head: number, body: number[]): void {
    this.#socket.send(new Uint8Array([head, ...length(body.length), ...body]));
  }

  /** Packets need not end where messages of the WebSocket do. */
  #take(data: Uint8Array): void {
    this.#alive = true;
    const bytes = new Uint8Array(this.#bytes.length + data.length);
    bytes.set(this.#bytes);
    bytes.set(data, this.#bytes.length);
    let at = 0;
    while (!this.#over) {
      const body = number(bytes, at + 1);
      if (!body || body.value > PACKET_BYTES_MAX) {
        if (body) this.close("a packet was too large");
        break;
      }
      const end = body.next + body.value;
      if (end > bytes.length) break;
      this.#packet(bytes[at] ?? 0, bytes.subarray(body.next, end));
      at = end;
    }
    this.#bytes = bytes.slice(at);
  }

  #packet(head: number, body: Uint8Array): void {
    switch (head >> 4) {
      case CONNACK:
        if ((body[1] ?? FAILURE) >= FAILURE) return this.close("the key may not connect");
        return this.#send(0x82, [0, 1, 0, ...this.#filters.flatMap((filter) => [...string(filter), 0])]);
      case SUBACK: {
        this.#ready = true;
        const codes = [...body.subarray(number(body, 2)?.after ?? body.length)];
        return this.#heard.ready(this.#filters.map((_, index) => (codes[index] ?? FAILURE) < FAILURE));
      }
      case PUBLISH: {
        const topic = 2 + (body[0] ?? 0) * 256 + (body[1] ?? 0);
        const payload = number(body, topic)?.after ?? body.length;
        return this.#heard.message(new TextDecoder().decode(body.subarray(2, topic)), body.subarray(payload));
      }
      case DISCONNECT:
        return this.close("the server ended the connection");
    }
  }
}

function short(value: number): [number, number] {
  return [value >> 8, value & 0xff];
}

function string(text: string): number[] {
  const bytes = new TextEncoder().encode(text);
  return [...short(bytes.length), ...bytes];
}

function length(value: number): number[] {
  return value < 128 ? [value] : [(value & 0x7f) | 0x80, ...length(value >> 7)];
}

/** A number of variable length, where it ends, and what lies behind as many bytes more; undefined when it is not all there. */
function number(bytes: Uint8Array, at: number): { value: number; next: number; after: number } | undefined {
  for (let value = 0, index = 0; index < 4; index++) {
    const digit = bytes[at + index];
    if (digit === undefined) return undefined;
    value += (digit & 0x7f) * 128 ** index;
    if (digit < 128) return { value, next: at + index + 1, after: at + index + 1 + value };
  }
  return { value: Infinity, next: at, after: at };
}
