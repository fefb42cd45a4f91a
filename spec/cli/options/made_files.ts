/**
 * The input files of the tables that commands make: calibrations, a training run, a certificate, cases of ops and of models.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { writeSafetensors, type TensorToWrite } from '../../../src/io/safetensors_writer.ts'
import { readOutputs } from '../op_outputs.ts'
import { runInside } from '../run_inside.ts'

/** Makes them in the folder of the small files. */
export async function makeFiles(folder: string): Promise<void> {
  const place = (name: string): string => join(folder, name)
  const run = async (...args: string[]): Promise<void> => {
    const { code, stderr } = await runInside(args)
    if (code !== 0) throw new Error(`${args.join(' ')}: ${stderr}`)
  }
  const model = ['-m', place('model')]
  const windows = ['--text', place('long.txt'), '--prompt', '12', '--continuation', '8', '--limit', '8']
  const calibrate = [
    'calibrate',
    ...model,
    ...windows,
    '--criteria',
    'plainact,l2norm',
    '--keep-sequence',
    '--moments',
  ]
  await run(...calibrate, '--output', place('traces'))
  await run(...calibrate, '--output', place('other-traces'), '--seed', '1')
  const training = ['--steps', '2', '--batch', '2', '--length', '16', '--warmup', '1']
  const text = ['--config', place('model'), '--text', place('long.txt')]
  await run('pretrain', '--output', place('begun'), ...text, ...training)
  await run('parity', 'run', '--ops', 'relu', '--small', '--certificate', place('certificate'))
  await run('parity', 'export-ops', '--ops', 'linear', '--small', '--output', place('expected-ops'))
  await answerOps(place('expected-ops/linear.safetensors'), place('actual-ops'))
  await run('parity', 'export-ops', '--ops', 'relu,add', '--small', '--output', place('two-ops'))
  await run('parity', 'export-ops', '--ops', 'relu', '--small', '--output', place('one-op'))
  await writeCases(folder)
}

/** Writes the answers of a backend that rounds one number differently. */
async function answerOps(expected: string, folder: string): Promise<void> {
  mkdirSync(folder)
  const { outputs, metadata } = await readOutputs(expected)
  const { data } = [...outputs.values()].find(({ data: { length } }) => length > 100) as {
    readonly data: Float32Array
  }
  const bits = new Int32Array(data.buffer)
  bits[7] ^= 1
  await writeSafetensors(join(folder, 'linear.safetensors'), outputs, metadata)
}

async function writeCases(folder: string): Promise<void> {
  const cases = (first: number): ReadonlyMap<string, TensorToWrite> =>
    new Map([['input_ids', { dtype: 'I32', shape: [1, 4], data: Int32Array.of(first, 5, 6, 7) }]])
  await writeSafetensors(join(folder, 'cases.safetensors'), cases(2))
  await writeSafetensors(join(folder, 'other-cases.safetensors'), cases(3))
  const logits = (last: number): ReadonlyMap<string, TensorToWrite> =>
    new Map([
      ...cases(2),
      ['logits', { dtype: 'F32', shape: [1, 4, 2], data: Float32Array.of(1, 1, 1, 1, 1, 1, 1, last) }],
    ])
  await writeSafetensors(join(folder, 'first.safetensors'), logits(1))
  await writeSafetensors(join(folder, 'second.safetensors'), logits(1.5))
}
