// The smooth line over a noisy one.

/**
 * Exponential moving average without the pull towards zero at the start; a gap (NaN, infinity) stays a gap and does
 * not touch the average; where x goes back (a fork of the curve) it begins anew. `strength` 0..1 sets how many points it remembers as a share of how many there are, so that
 * a curve looks equally smooth with a hundred points and with two thousand.
 */
export function smooth(y: ArrayLike<number>, strength: number, x?: ArrayLike<number>): Float32Array {
  const out = new Float32Array(y.length);
  const span = strength * strength * y.length * 0.05;
  const keep = span / (1 + span);
  let sum = 0;
  let weight = 0;
  for (let index = 0; index < y.length; index += 1) {
    const value = y[index] ?? NaN;
    if (x && index && (x[index] ?? 0) < (x[index - 1] ?? 0)) sum = weight = 0;
    if (!Number.isFinite(value)) {
      out[index] = NaN;
      continue;
    }
    sum = sum * keep + value * (1 - keep);
    weight = weight * keep + (1 - keep);
    out[index] = sum / weight;
  }
  return out;
}
