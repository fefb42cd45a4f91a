/**
 * A part of the suite, so that several processes or pages share it.
 */
import { suite, type SuiteLaw } from '../../src/verify/index.ts'

/** Which laws. */
export interface Part {
  /** Which part, from 0 on, of how many: every so-many-th law, so that neighbours, which cost alike, are in different parts. */
  readonly share?: readonly [part: number, of: number]
  /** Whether the laws that try every small size of an op are left out, which take most of the time. */
  readonly isShort?: boolean
}

/** The laws of a part. */
export function lawsOfPart({ share: [part, of] = [0, 1], isShort = false }: Part): SuiteLaw[] {
  const laws = suite.filter(({ sentence }) => !isShort || !sentence.includes(': every size '))
  return laws.filter((_, i) => i % of === part)
}
