/**
 * Masks of input channels, a second kind of mask: they leave out inputs of matrices in place of units.
 *
 * A layer reads four arrays by its matrices. A channel of such an array that is masked is a zero to all of them, at one
 * token. Unlike a unit it has no rows of its own: column i of every matrix of the site is unneeded. Matrices that are held
 * with a row per input (out and fc2) leave those rows unread; the others read their columns all the same.
 */

/** The arrays, in the order of a layer. */
export const channelSites = [
  /** What `q`, `k` and `v` read. */
  'attention',
  /** What `out` reads. */
  'heads',
  /** What `fc1` and `up` read. */
  'ffn',
  /** What `fc2` reads. */
  'activations',
] as const
/** Whose input channels a mask is of. */
export type ChannelSite = (typeof channelSites)[number]

/** Ones and zeros for the channels of each site, layer by layer: [L, D], [L, H K], [L, D], [L, F]. */
export type ChannelMask = Readonly<Record<ChannelSite, Float32Array>>

/** The share of a site's channels that is masked. */
export function maskedShare(
  mask: ChannelMask,
  site: ChannelSite,
  layers: number,
  first = 0,
  count = layers,
): number {
  const C = mask[site].length / layers
  const part = mask[site].subarray(first * C, (first + count) * C)
  return part.length === 0 ? 0 : part.reduce((zeros, kept) => zeros + (kept === 0 ? 1 : 0), 0) / part.length
}
