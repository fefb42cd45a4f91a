/**
 * `shadowllm train`: the file it writes, its output, its refusals, and ctrl-C.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createBackend } from '../../../src/backends/select.ts'
import { openPredictor } from '../../../src/predictor/predictor_file.ts'
import type { CliResult } from '../run_cli.ts'
import { runInside, type Moment } from '../run_inside.ts'

const folder = mkdtempSync(join(tmpdir(), 'shadowllm-train-'))
afterAll(() => rmSync(folder, { recursive: true }))
const traces = join(folder, 'traces')

const train = (file: string, ...args: string[]): Promise<CliResult> =>
  runInside(['train', '--calibration', traces, '--output', join(folder, file), ...args])

beforeAll(async () => {
  const sizes = ['--limit', '12', '--prompt', '12', '--continuation', '8', '--criteria', 'plainact,l2norm']
  const { code, stderr } = await runInside(['calibrate', '--output', traces, ...sizes])
  expect([code, stderr]).toEqual([0, ''])
})

interface Report {
  card: Record<string, unknown>
  examples: object
  loss: object
  verdict: {
    scope: string
    qualities: Record<string, { neurons: { at: object[]; spearman: number } }>
  } | null
}

async function trainJson(file: string, ...args: string[]): Promise<Report> {
  const { code, stdout, stderr } = await train(file, '--json', ...args)
  expect([code, stderr]).toEqual([0, ''])
  return JSON.parse(stdout) as Report
}

describe('train', () => {
  test.each([
    ['shadow', ['--placement', '2', '--pooling', 'mean', '--features', 'dataset'], 'global'],
    ['dejavu-style', ['--criterion', 'l2norm', '--width', '8'], 'per-layer'],
    ['dejavu', ['--head-width', '4', '--top', '0.3'], 'per-layer'],
  ])(
    '%s: the file is a predictor as its config says, judged beside the constants',
    async (kind, args, scope) => {
      const file = `${kind}.safetensors`
      const report = await trainJson(file, '--kind', kind, '--epochs', '2', '--sparsity', '0.5,0.9', ...args)
      expect(report.card).toMatchObject({ kind, examples: 10, shape: { layers: 8, heads: 8, neurons: 1024 } })
      expect(report.card.dataHash).toMatch(/^[0-9a-f]{64}$/)
      expect(report).toMatchObject({ examples: { trained: 10, heldOut: 2 }, verdict: { scope } })
      const { qualities } = report.verdict as NonNullable<Report['verdict']>
      expect(Object.keys(qualities)).toEqual(['predictor', 'mean-target', 'mean-score'])
      for (const { neurons } of Object.values(qualities)) expect(neurons.at).toHaveLength(2)
      const backend = await createBackend('reference')
      const predictor = await openPredictor(join(folder, file), backend)
      expect(predictor.config).toEqual(report.card)
      predictor.dispose()
    },
  )

  test('the same flags give the same bytes, on any backend; another seed gives others', async () => {
    const bytes = async (file: string, ...args: string[]): Promise<Buffer> => {
      expect((await train(file, '--epochs', '2', ...args)).code).toBe(0)
      return readFileSync(join(folder, file))
    }
    const first = await bytes('first')
    expect((await bytes('again', '--backend', 'reference')).equals(first)).toBe(true)
    expect((await bytes('other', '--seed', '1')).equals(first)).toBe(false)
  })

  test('a table shows the quality of orders and masks, and generate accepts the file', async () => {
    const file = join(folder, 'table.safetensors')
    const args = ['--calibration', traces, '--output', file, '--epochs', '1', '--held-out', '0.25']
    const { code, stdout, stderr } = await runInside(['train', ...args])
    expect([code, stderr]).toEqual([0, ''])
    expect(stdout).toMatch(/: shadow on plainact, [\d,]+ numbers, 9 examples, [\d.]+ s\non 3 held out:\n/)
    expect(stdout).toMatch(/\nneurons +predictor +[\d.]+ +[\d.]+\nneurons +mean of targets +/)
    expect(stdout).toMatch(/\nmasks, global +sparsity +recall +precision +Jaccard +score kept\n/)
    const used = [
      '--planner',
      'shadow',
      '--predictor',
      join(folder, 'table.safetensors'),
      '--max-tokens',
      '2',
    ]
    expect(await runInside(['generate', 'The', '-q', ...used])).toMatchObject({ code: 0, stderr: '' })
  })

  test.each<[string, string[], string, number]>([
    ['a criterion the calibration lacks', ['--criterion', 'fisher'], '(plainact, l2norm), got fisher', 2],
    ['a choice of another kind', ['--kind', 'dejavu', '--pooling', 'mean'], 'pooling: expected no choice', 2],
    [
      'a layer that is not there',
      ['--source-layer', '8'],
      '--source-layer: expected a whole number from 0 to 7',
      2,
    ],
    ['whole prompts that were not kept', ['--pooling', 'attention'], '"calibrate --keep-sequence" makes', 2],
    ['a share of everything', ['--loss', 'bce', '--top', '1'], 'top.0: expected a share between 0 and 1', 2],
    ['a folder that is none', ['--calibration', folder], 'calibration.json', 3],
    ['an output in no folder', ['--output', join(folder, 'none', 'p')], 'expected an existing folder', 2],
  ])('%s is refused, and nothing is written', async (_, args, message, exitCode) => {
    const before = readdirSync(folder)
    const { code, stdout, stderr } = await train('refused.safetensors', ...args)
    expect(stderr).toContain(message)
    expect([code, stdout]).toEqual([exitCode, ''])
    expect(readdirSync(folder)).toEqual(before)
  })

  test.each(['reading', 'training', 'judging'])(
    'ctrl-C while %s leaves no new file and an old one unchanged',
    async (stage) => {
      const older = readFileSync(join(folder, 'first'))
      for (const file of ['stopped', 'first']) {
        const args = ['--calibration', traces, '--output', join(folder, file), '--epochs', '3']
        const interruptWhen = ({ update }: Moment): boolean => update?.stage === stage
        const { code, stdout } = await runInside(['train', ...args], { interruptWhen })
        expect([code, stdout]).toEqual([130, ''])
      }
      expect(existsSync(join(folder, 'stopped'))).toBe(false)
      expect(readFileSync(join(folder, 'first')).equals(older)).toBe(true)
    },
  )
})
