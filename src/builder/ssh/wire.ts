/**
 * The data types of SSH (RFC 4251, section 5), read and written.
 * Invariant: a length is checked before it is used.
 */

/** Thrown for data that ends early; whoever reads knows what the data was. */
export class WireError extends Error {}

export class WireReader {
  readonly #data: Buffer;
  #at = 0;

  constructor(data: Buffer) {
    this.#data = data;
  }

  byte(): number {
    return this.take(1).readUInt8();
  }

  number(): number {
    return this.take(4).readUInt32BE();
  }

  bytes(): Buffer {
    return this.take(this.number());
  }

  text(): string {
    return this.bytes().toString('utf8');
  }

  take(size: number): Buffer {
    if (size > this.#data.length - this.#at) throw new WireError('the data ends early');
    this.#at += size;
    return this.#data.subarray(this.#at - size, this.#at);
  }
}

export function wireNumber(value: number): Buffer {
  const data = Buffer.alloc(4);
  data.writeUInt32BE(value);
  return data;
}

export function wireBytes(value: string | Uint8Array): Buffer {
  const data = Buffer.from(value);
  return Buffer.concat([wireNumber(data.length), data]);
}

/** An unsigned number of any size as `mpint`: no zeros in front but the one that keeps it from being negative. */
export function wireInteger(value: Buffer): Buffer {
  const first = value.findIndex((byte) => byte !== 0);
  const digits = first < 0 ? Buffer.alloc(0) : value.subarray(first);
  const negative = (digits[0] ?? 0) >= 0x80;
  return wireBytes(negative ? Buffer.concat([Buffer.alloc(1), digits]) : digits);
}
