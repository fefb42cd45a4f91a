/**
 * The bundle of cuda/certify: calls of every op, a small model and the shapes to be timed, for the kernels of the committed
 * module, in one safetensors file. Equal sources give equal bytes.
 *
 * The file says the SHA-256 of itself, its 64 digits taken as zeros: a byte that was changed anywhere shows.
 */
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import { hashPlaces } from '../../../src/results/method_hash.ts'
import { encodeSafetensors } from '../../../src/io/safetensors_writer.ts'
import { modulePath } from '../module.ts'
import { root } from '../../sources.ts'
import { addCases } from './cases.ts'
import { addModel } from './model.ts'
import { ProgramWriter } from './program.ts'
import { checkKernels, kernelSets } from './sets.ts'
import { addShapes } from './shapes.ts'

/** The committed bundle, compressed. */
export const bundlePath: string = join(root, 'fixtures/cuda/certify.safetensors.gz')

/** What a bundle says of itself. */
const bundleFormat = 'shadowllm-cuda-certify 1'

const NO_HASH = '0'.repeat(64)

/** Makes the bundle for a module. */
export async function makeBundle(module: string = readFileSync(modulePath, 'utf8')): Promise<Uint8Array> {
  const program = new ProgramWriter()
  checkKernels(module)
  for (const set of kernelSets) {
    program.line('set', set.ending, set.backend, set.emulated)
    for (const op of set.ops) addCases(program, set, op)
    // What the host reads of a model decides what it launches next: that holds where all numbers are known.
    if (set.owed === 'row') await addModel(program, set)
    addShapes(program, set)
  }
  return encodeBundle(program, module)
}

/** A program for a module, as a file. */
export async function encodeBundle(program: ProgramWriter, module: string): Promise<Uint8Array> {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
  const about = {
    sha256: NO_HASH,
    format: bundleFormat,
    version,
    definitions: await hashPlaces(['ops']),
    kernels: createHash('sha256').update(module).digest('hex'),
  }
  return seal(encodeSafetensors(program.tensors(), about))
}

/** Puts in its place the hash that a bundle must say of itself, whatever is said there. */
export function seal(bytes: Uint8Array): Uint8Array {
  const sealed = Buffer.from(bytes)
  const place = sealed.indexOf('"sha256":"') + '"sha256":"'.length
  sealed.write(NO_HASH, place, 'latin1')
  sealed.write(createHash('sha256').update(sealed).digest('hex'), place, 'latin1')
  return sealed
}

/**
 * Makes the bundle of the committed module and writes it. How small it is compressed depends on the zlib that does it; what
 * it holds does not.
 */
export async function writeBundle(): Promise<{ readonly bytes: number; readonly packed: number }> {
  const bundle = await makeBundle()
  const packed = gzipSync(bundle, { level: 9 })
  mkdirSync(dirname(bundlePath), { recursive: true })
  writeFileSync(bundlePath, packed)
  return { bytes: bundle.length, packed: packed.length }
}

/** The committed bundle. */
export function readBundle(): Uint8Array {
  return gunzipSync(readFileSync(bundlePath))
}
