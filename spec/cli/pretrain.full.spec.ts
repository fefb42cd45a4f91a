/**
 * `shadowllm pretrain` as a process that is killed: resumed, it ends with the files of an uninterrupted run.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { Data } from '../harness/data.ts'
import { runSeed } from '../harness/seed.ts'
import { runCli } from './run_cli.ts'
import { runInside } from './run_inside.ts'
import { makeSmallPretraining } from './small_pretraining.ts'

const folder = mkdtempSync(join(tmpdir(), 'shadowllm-pretrain-killed-'))
afterAll(() => rmSync(folder, { recursive: true }))

const { args, lastingOf } = makeSmallPretraining(folder)
const often = ['--evaluate-every', '4', '--save-every', '1']

test(
  'killed after any step and resumed, pretrain ends with the same files',
  { timeout: 300_000 },
  async () => {
    expect(await runInside(args('whole', often))).toMatchObject({ code: 0, stderr: '' })
    const random = new Data(runSeed())
    const state = join(folder, 'killed', 'training.safetensors')
    const lines = (): number =>
      existsSync(state) ? readFileSync(join(folder, 'killed', 'loss.jsonl'), 'utf8').split('\n').length : 0
    let wasKilled = false
    for (let attempt = 0; !wasKilled && attempt < 8; attempt++) {
      // The process ended before it was killed: once more from the start.
      rmSync(join(folder, 'killed'), { recursive: true, force: true })
      const when = random.integer(1, 8)
      wasKilled = (await runCli(args('killed', often), { killWhen: () => lines() >= when })).code === null
    }
    expect(wasKilled).toBe(true)
    expect(await runInside(args('killed', [...often, '--resume']))).toMatchObject({ code: 0, stderr: '' })
    expect(lastingOf('killed')).toEqual(lastingOf('whole'))
  },
)
