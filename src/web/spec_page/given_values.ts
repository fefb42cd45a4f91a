/**
 * The values of the default prompt that the page carries, so that it answers without fetching anything: scores as exact bits.
 */
import { unitKinds } from '../../masks/mask.ts'
import type { Units } from '../../spec/plain.ts'
import { recordOf } from '../../tensor/records.ts'
import type { SomeSteps, Steps } from './method.ts'

/** Scores and the pieces of the dense text. */
type Given = Pick<Steps, 'predicted' | 'plainact'>

/** The same as JSON: each row of scores is the base64 of its float32 numbers. */
export type PackedValues = Readonly<Record<keyof Given, Readonly<Record<keyof Units, readonly string[]>>>>

/** The values as JSON. @throws Error for steps without scores */
export function packValues({ predicted, plainact }: SomeSteps): PackedValues {
  const pack = (units: Units | undefined): PackedValues['predicted'] => {
    if (units === undefined) throw new Error('values: expected scores, got none')
    return recordOf(unitKinds, (kind) =>
      units[kind].map((row) =>
        btoa(String.fromCharCode(...new Uint8Array(row.buffer, row.byteOffset, row.byteLength))),
      ),
    )
  }
  return { predicted: pack(predicted), plainact: pack(plainact) }
}

/** The values again. */
export function unpackValues({ predicted, plainact }: PackedValues): Given {
  const unpack = (packed: PackedValues['predicted']): Units =>
    recordOf(unitKinds, (kind) =>
      packed[kind].map(
        (text) => new Float32Array(Uint8Array.from(atob(text), (byte) => byte.charCodeAt(0)).buffer),
      ),
    )
  return { predicted: unpack(predicted), plainact: unpack(plainact) }
}
