/** What a test and the agent in the guest say to each other, one JSON document a line. Types only. */

/** A command, run as root of the guest. */
export interface GuestRequest {
  readonly id: number;
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly input: string;
}

export interface GuestAnswer {
  readonly id: number;
  /** 128 + n when signal n ended it. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}
