/**
 * Tells bytes that deflate cannot shrink (archives, media, ciphertext, random data) from those it can. Deflate takes
 * longest on such bytes and gains nothing; stored, they cost a copy.
 * Invariant: depends on the bytes alone.
 */
import { deflateRawSync } from 'node:zlib';

const sampleSize = 4096;
const sampleCount = 4;
/** Of a byte, in bits. Random samples of this size have 7.94 to 7.97; base64 has 6, machine code about 6. */
const randomEntropy = 7.9;
const trialSize = 64 * 1024;

export function looksIncompressible(block: Uint8Array): boolean {
  if (block.byteLength < sampleSize * sampleCount) return false;
  const stride = Math.floor((block.byteLength - sampleSize) / (sampleCount - 1));
  for (let i = 0; i < sampleCount; i += 1) {
    if (entropyOf(block.subarray(i * stride, i * stride + sampleSize)) < randomEntropy) return false;
  }
  // Repetitions do not show in a histogram; a quick try on a part does show them.
  const trial = block.subarray(0, trialSize);
  return deflateRawSync(trial, { level: 1 }).length > trial.byteLength * 0.99;
}

/** Shannon entropy of the bytes, in bits per byte. */
function entropyOf(sample: Uint8Array): number {
  const counts = new Uint32Array(256);
  for (const byte of sample) counts[byte] = (counts[byte] ?? 0) + 1;
  let entropy = 0;
  for (const count of counts) {
    if (count > 0) entropy -= (count / sample.byteLength) * Math.log2(count / sample.byteLength);
  }
  return entropy;
}
