/**
 * What the GPU backends say alike of a launch: how much of an op's work may be done at once, from the sizes of a call.
 */
import { isConstant, type ArrayParam, type Kernel } from '../ops/op.ts'

/** The value of a size letter of a call. */
export type Size = (letter: string) => number

/** How many numbers the first output of a kernel has. Most ops have a thread for each. */
export function outputsOf({ params }: Kernel, of: Size): number {
  const { shape } = params.find((param) => param.kind === 'array' && param.role !== 'in') as ArrayParam
  return shape.reduce((all, letter) => all * (isConstant(letter) ? Number(letter) : of(letter)), 1)
}

/** Pairs of each head, and numbers that have no partner. */
export const rotaryWork = (of: Size): number => of('T') * of('H') * (of('K') - Math.floor(of('R') / 2))
