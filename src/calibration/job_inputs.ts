/**
 * The input files of jobs, as bytes: windows, and tables with a number for every unit (masks, mean scores).
 *
 * A file is named by its hash, so its bytes are those that were written. Its content is untrusted all the same: anyone who
 * can write to a store can add a file.
 */
import * as v from 'valibot'
import { canonicalJson } from '../io/canonical_json.ts'
import { parseJson, toPlain } from '../io/json.ts'
import { quote, refusal } from '../io/refusal.ts'
import { parseSafetensors } from '../io/safetensors.ts'
import { encodeSafetensors, type TensorToWrite } from '../io/safetensors_writer.ts'
import { checkSchema, wholeNumber } from '../io/schema.ts'
import type { UnitShape } from '../masks/mask.ts'
import type { UnitScores } from '../masks/selection.ts'
import type { Window } from '../data/windows.ts'

/** Windows as bytes: the same for equal windows. */
export function encodeWindows(windows: readonly Window[]): Uint8Array<ArrayBuffer> {
  const rows = windows.map(({ document, genre, promptLength, words, tokens }) => [
    document,
    genre,
    promptLength,
    words,
    [...tokens],
  ])
  return new TextEncoder().encode(canonicalJson(rows))
}

const whole = wholeNumber(0, Number.MAX_SAFE_INTEGER)

const windowSchema = v.pipe(
  v.strictTuple([
    v.string(),
    v.string(),
    wholeNumber(1, 2 ** 31),
    whole,
    v.array(wholeNumber(0, 2 ** 31 - 1)),
  ]),
  v.check(([, , promptLength, , tokens]) => promptLength < tokens.length, 'more tokens than the prompt has'),
  v.transform(([document, genre, promptLength, words, tokens]): Window => {
    return { document, genre, promptLength, words, tokens: Int32Array.from(tokens) }
  }),
)

/** Parses windows. @throws InputError SHARD_FORMAT, JSON_* for anything else */
export function parseWindows(bytes: Uint8Array): Window[] {
  const json = parseJson(bytes, 'job windows', { numbers: 'integers' })
  return checkSchema(v.array(windowSchema), toPlain(json), { code: 'SHARD_FORMAT', subject: 'job windows' })
}

/** A table of all units as bytes. */
export function encodeUnits({ shape, heads, neurons }: UnitScores): Uint8Array<ArrayBuffer> {
  const { layers } = shape
  return encodeSafetensors(
    new Map<string, TensorToWrite>([
      ['heads', { dtype: 'F32', shape: [layers, shape.heads], data: heads }],
      ['neurons', { dtype: 'F32', shape: [layers, shape.neurons], data: neurons }],
    ]),
  )
}

/** Parses a table. @throws InputError SHARD_FORMAT for another shape; SAFETENSORS_* and others for an invalid file */
export async function parseUnits(bytes: Uint8Array, shape: UnitShape): Promise<UnitScores> {
  const source = await parseSafetensors(bytes, 'job units')
  const table = async (name: 'heads' | 'neurons'): Promise<Float32Array> => {
    const expected = `${shape.layers},${shape[name]}`
    const found = source.tensors.get(name)?.shape.join()
    if (found === expected) return source.read(name)
    throw refusal('SHARD_FORMAT', `job units ${name}`, `[${expected}]`, found ? quote(found) : 'none')
  }
  return { shape, heads: await table('heads'), neurons: await table('neurons') }
}
