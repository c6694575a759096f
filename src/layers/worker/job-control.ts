/** What a job in a worker is given to notice that nobody wants its result any more. */
export interface JobControl {
  /** Called in every loop over entries or chunks. @throws TsbuildError `cancelled` */
  throwIfAborted(): void;
  /** Called with the bytes of the result's file that are in it for good. */
  written?(bytes: number): void;
}
