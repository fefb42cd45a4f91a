/**
 * A wrong value of a flag or an argument, what is said of it, and the wrong values that many flags have in common.
 */

/** A wrong value and its refusal. */
export interface Wrong {
  readonly value: string
  readonly exitCode: 2 | 3 | 4 | 5
  readonly code: string
  /** Words of the line. */
  readonly says: string
}

/** Wrong values of one flag or argument. */
export interface Door {
  /** What has to stand beside the flag so that it is looked at. */
  readonly beside?: readonly string[]
  readonly wrong: readonly Wrong[]
}

/** Values that are refused as a wrong way to call. */
export const usage = (code: string, says: string, ...values: readonly string[]): Wrong[] =>
  values.map((value) => ({ value, exitCode: 2, code, says }))
/** A value that is refused as a wrong file. */
export const input = (code: string, says: string, value: string): Wrong => ({
  value,
  exitCode: 3,
  code,
  says,
})

export const share: Door = {
  wrong: usage('SPARSITY', 'a share from 0 to 1', '1.2', '-0.1', 'NaN', '', 'half', '1e1'),
}
export const shares: Door = {
  wrong: usage('SPARSITY', 'a share from 0 to 1', '1.2', '0.5,-0.1', '0.5,NaN', '', '0.5,', '0.5;0.7'),
}
/** Wrong values under the code of an option. */
export const coded = (code: string, { wrong, ...door }: Door): Door => ({
  ...door,
  wrong: wrong.map((one) => ({ ...one, code })),
})
/** A whole number from `least`. */
export const whole = (least: number, ...more: string[]): Door => ({
  wrong: usage('VALUE', 'a whole number', `${least - 1}`, '-1', '1.5', 'NaN', '', '1e3', '0x10', ...more),
})
/** A number; `outside` are beyond its range. */
export const number = (...outside: string[]): Door => ({
  wrong: usage('VALUE', 'a number', 'NaN', '', 'much', '1,5', 'Infinity', ...outside),
})
/** Names out of a few. */
export const names = (code: string, says: string): Door => ({ wrong: usage(code, says, 'no-such', '', ',') })
export const threads: Door = {
  wrong: usage('THREADS', 'auto or a whole number', '0', '-1', '1.5', '', 'all', '33'),
}
