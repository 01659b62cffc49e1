/** What a view is given. */

import type { Fleet } from "./fleet.ts";
import type { Live } from "./live.ts";
import type { Running } from "./running.ts";

export interface Context {
  readonly fleet: Fleet;
  readonly running: Running;
  readonly live: Live;
  /** The view's part of the page. */
  readonly main: HTMLElement;
  /** What follows the view in the address: a name, and a query. */
  readonly name: string;
  readonly query: URLSearchParams;
  /** Aborted when the person turns to another view. */
  readonly signal: AbortSignal;
  /** Tells of a trouble in the banner. */
  readonly report: (error: unknown) => void;
}

/** Draws into `main`; what it throws is shown by the caller. */
export type View = (context: Context) => Promise<void>;
