/**
 * `shadowllm reproduce`: what a ctrl-C leaves. Tests src/cli/commands/reproduce.ts; spec/cli/options states its flags.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { writeModel } from '../options/small_files.ts'
import { root } from '../run_cli.ts'
import { runInside } from '../run_inside.ts'

const folder = mkdtempSync(join(tmpdir(), 'shadowllm-reproduce-'))
const model = join(folder, 'model')
beforeAll(() => writeModel(model, 3))
afterAll(() => rmSync(folder, { recursive: true }))

describe('reproduce', () => {
  test('ctrl-C while it evaluates reports what is finished: the predictor, valid JSON, and 130', async () => {
    const output = join(folder, 'stopped.json')
    const predictor = join(folder, 'predictor.safetensors')
    const few = ['--examples', '2', '--limit', '400', '--sparsity', '0.5']
    const args = ['reproduce', '-m', model, '--quick', ...few, '--json']
    const files = ['--output', output, '--save-predictor', predictor]
    const { code, stdout, stderr } = await runInside([...args, ...files], {
      interruptWhen: () => existsSync(predictor),
    })
    expect(stderr).toBe('shadowllm: interrupted [INTERRUPTED]\n')
    expect(code).toBe(130)
    const report = JSON.parse(stdout) as { rows: { planner: string }[]; evaluationWindows: number }
    const provenance = { seed: 0, argv: [...args, ...files] }
    expect(report).toMatchObject({ complete: false, calibrationWindows: 2, provenance })
    expect(report.evaluationWindows).toBeLessThan(400)
    expect(report.rows.length).toBe(report.evaluationWindows === 0 ? 0 : 5)
    expect(readFileSync(output, 'utf8')).toBe(stdout)
    const used = ['--planner', 'shadow', '--predictor', predictor, '--max-tokens', '2', '--quiet']
    expect(await runInside(['generate', 'The', '-m', model, ...used])).toMatchObject({ code: 0, stderr: '' })
  })

  test('ctrl-C with --no-cache leaves no parts behind', async () => {
    const temporary = mkdtempSync(join(folder, 'temporary-'))
    const predictor = join(folder, 'of-no-cache.safetensors')
    const few = '--quick --examples 2 --limit 400 --sparsity 0.5 --no-cache'.split(' ')
    const args = ['reproduce', '-m', model, ...few]
    let meanwhile: string[] = []
    const { code } = await runInside([...args, '--save-predictor', predictor], {
      env: { TMPDIR: temporary },
      interruptWhen: () => {
        meanwhile = readdirSync(temporary)
        return existsSync(predictor)
      },
    })
    expect([code, meanwhile]).toEqual([130, [expect.stringMatching(/^shadowllm-parts\./)]])
    expect(readdirSync(temporary)).toEqual([])
  })

  test('a report names the text that was scored, and that of the calibration', async () => {
    const names = [join(folder, 'pages.raw'), join(folder, 'learnt.txt')]
    const article = 'The house stands by the river, and the river runs to the sea. '.repeat(12)
    writeFileSync(names[0], `\n = House = \n\n ${article}\n`)
    writeFileSync(names[1], article)
    const calibration = join(folder, 'calibration')
    const learnt = [
      '--prompt',
      '24',
      '--continuation',
      '16',
      '--text',
      names[1],
      '--limit',
      '2',
      '--output',
      calibration,
      '--quiet',
    ]
    expect(await runInside(['calibrate', '-m', model, ...learnt])).toMatchObject({ code: 0, stderr: '' })
    const grid =
      '--experiment grid --quick --no-speed --no-cache --limit 1 --sparsity 0.5 --windows 24+16 --units neurons'
    const once = '--prefill dense --every once --planner static --json'
    const args = ['reproduce', '-m', model, ...`${grid} ${once}`.split(' '), '--wikitext', names[0]]
    const textOf = async (...more: string[]): Promise<unknown> =>
      JSON.parse((await runInside([...args, ...more])).stdout)
    const data = (name: string): object => ({ provenance: { data: { name } } })
    expect(await textOf('--calibration', calibration)).toMatchObject(
      data('pages.raw; calibration: learnt.txt'),
    )
    expect(await textOf()).toMatchObject(data('pages.raw; calibration: Brown corpus'))
  })
})

test('no file is left in the checkout or beside an output', () => {
  expect(readdirSync(folder).filter((name) => name.endsWith('.tmp'))).toEqual([])
  expect(readdirSync(root)).not.toContain('x')
})
