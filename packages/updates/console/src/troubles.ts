/** What can go wrong with a call, in words for the person before the page. */

export type Kind = "lost" | "credentials" | "clock" | "busy" | "refused";

export class Trouble extends Error {
  constructor(
    readonly kind: Kind,
    message: string,
    readonly code = "",
  ) {
    super(message);
  }
}

const UNKNOWN_KEY = new Set(["InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId"]);
const WRONG_SECRET = new Set(["SignatureDoesNotMatch", "InvalidSignatureException"]);
const EXPIRED = new Set(["ExpiredToken", "ExpiredTokenException"]);
const SKEWED = new Set(["RequestTimeTooSkewed", "RequestExpired"]);
const BUSY = new Set(["ThrottlingException", "TooManyRequestsException", "LimitExceededException", "ServiceUnavailableException"]);
const NOTICEABLE_SECONDS = 240;

/** The trouble in an answer that is no success. */
export function troubleOf(answer: Response, body: string): Trouble {
  const { code, message } = read(answer, body);
  const difference = clockDifference(answer);
  const unpunctual = SKEWED.has(code) || /signature (has )?expired|not yet current|request.*(expired|skewed)|too skewed/i.test(message);
  if (unpunctual && !EXPIRED.has(code)) return new Trouble("clock", clockSentence(difference), code);
  if (UNKNOWN_KEY.has(code)) return new Trouble("credentials", "This access key is not known there. Check the access key ID.", code);
  if (WRONG_SECRET.has(code)) {
    if (difference !== null && Math.abs(difference) > NOTICEABLE_SECONDS) return new Trouble("clock", clockSentence(difference), code);
    return new Trouble("credentials", "The secret does not belong to this access key. Check the secret access key.", code);
  }
  if (EXPIRED.has(code)) return new Trouble("credentials", "The session has ended. Sign in again.", code);
  if (BUSY.has(code) || answer.status === 429 || answer.status >= 500)
    return new Trouble("busy", message || `The server answered ${answer.status}.`, code);
  return new Trouble("refused", message || `The server answered ${answer.status} ${code}.`, code);
}

function read(answer: Response, body: string): { code: string; message: string } {
  const header = answer.headers.get("x-amzn-errortype")?.split(":")[0] ?? "";
  if (body.startsWith("<"))
    return { code: /<Code>([^<]*)/.exec(body)?.[1] ?? header, message: /<Message>([^<]*)/.exec(body)?.[1] ?? "" };
  try {
    const told = JSON.parse(body) as Record<string, unknown>;
    const code = header || String(told["__type"] ?? told["code"] ?? "");
    return { code: code.split("#").pop() ?? "", message: String(told["message"] ?? told["Message"] ?? told["errorMessage"] ?? "") };
  } catch {
    return { code: header, message: "" };
  }
}

/** Seconds by which the server's clock is ahead of this one; null when the answer does not tell. */
function clockDifference(answer: Response): number | null {
  const told = Date.parse(answer.headers.get("date") ?? "");
  return Number.isNaN(told) ? null : Math.round((told - Date.now()) / 1000);
}

function clockSentence(difference: number | null): string {
  if (difference === null) return "The clocks of this computer and of the server differ too much. Set this computer's clock.";
  const server = new Date(Date.now() + difference * 1000).toISOString().slice(0, 19).replace("T", " ");
  const way = difference > 0 ? "behind" : "ahead of";
  return `This computer's clock is ${duration(Math.abs(difference))} ${way} the server's, which shows ${server} UTC. Set this computer's clock, then try again.`;
}

function duration(seconds: number): string {
  const units: [number, string][] = [
    [86_400, "d"],
    [3_600, "h"],
    [60, "min"],
  ];
  for (const [size, unit] of units) if (seconds >= 2 * size) return `${Math.round(seconds / size)} ${unit}`;
  return `${seconds} s`;
}
