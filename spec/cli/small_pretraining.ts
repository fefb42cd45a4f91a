/**
 * A small pretraining: its files, its arguments, and the results that an interruption must not change.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fixtures } from '../golden/golden.ts'

/** A row of loss.jsonl. */
export interface CurveRow {
  readonly step: number
  readonly loss?: number
  readonly heldOut?: number
  readonly seconds?: number
  readonly tokens?: number
}

/** A pretraining. Each run has a folder of its own in a common folder. */
export interface SmallPretraining {
  readonly config: string
  readonly tokenizer: string
  readonly text: string
  readonly steps: number
  /** The arguments of the run of this name. @param from the text; default: `text` */
  args(name: string, more?: readonly string[], from?: string): string[]
  curveOf(name: string): CurveRow[]
  /** The results of a run that an interruption must not change. */
  lastingOf(name: string): unknown
}

/** Writes the inputs of a pretraining into a folder. */
export function makeSmallPretraining(folder: string): SmallPretraining {
  const tokenizer = `${fixtures}tiny-opt`
  const [config, text] = [join(folder, 'config.json'), join(folder, 'text.txt')]
  const shape = { hidden_size: 8, num_hidden_layers: 2, num_attention_heads: 2, ffn_dim: 16 }
  writeFileSync(
    config,
    JSON.stringify({ model_type: 'opt', vocab_size: 4096, max_position_embeddings: 32, ...shape }),
  )
  writeFileSync(
    text,
    'The cat sat on the mat, and the dog lay by the door.\nNobody spoke a word.\n\n'.repeat(40),
  )
  const steps = 10
  const curveOf = (name: string): CurveRow[] =>
    readFileSync(join(folder, name, 'loss.jsonl'), 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as CurveRow)
  return {
    config,
    tokenizer,
    text,
    steps,
    args(name, more = [], from = text) {
      const run = ['--steps', `${steps}`, '--batch', '2', '--length', '32', '--warmup', '2', '--rate', '0.05']
      const files = ['--config', config, '--tokenizer', tokenizer, '--text', from, '-o', join(folder, name)]
      return ['pretrain', ...run, ...files, ...more]
    },
    curveOf,
    lastingOf(name) {
      const bytes = (file: string): string => readFileSync(join(folder, name, file)).toString('base64')
      // A row with undefined equals a row without the property.
      const curve = curveOf(name).map((row) => ({ ...row, seconds: undefined }))
      return { model: bytes('model.safetensors'), state: bytes('training.safetensors'), curve }
    },
  }
}
