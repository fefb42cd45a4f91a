/**
 * The forms in which the files of each reader are made larger.
 */
import * as form from './forms.ts'
import type { Form } from './forms.ts'
import { repairShard } from './repair.ts'

const tensors = [form.safetensors]
const shard: Form = {
  ...form.safetensors,
  write: async (tree) => repairShard(await form.safetensors.write(tree)),
}
const rows = [
  { goal: 'Open a tin', sol1: 'with a key', label: 0, parts: [1, 2] },
  { goal: 'Close it', sol1: 'with a song', label: 1, parts: [3, 4] },
]

/** By the name of the reader. */
export const formsOf: ReadonlyMap<string, readonly Form[]> = new Map([
  ['safetensors', [form.safetensors, form.safetensorsHeader]],
  ['shard-index', [form.json]],
  ['shards', [form.json]],
  ['zip', [form.zip]],
  ['torch', [form.zip]],
  ['torch-legacy', [form.pickles]],
  ['pickle', [form.pickle]],
  ['json', [form.json]],
  ['config', [form.json]],
  ['model', [form.json]],
  ['vocabulary', [form.json]],
  ['merges', [form.lines(form.words)]],
  ['tokenizer-json', [form.json]],
  ['text', [form.units]],
  ['prompt', [form.rawBytes]],
  ['gguf', [form.gguf]],
  ['gguf-model', [form.gguf]],
  ['predictor', tensors],
  ['mask', tensors],
  ['session', tensors],
  ['moments', tensors],
  ['moment-sums', tensors],
  ['parity', tensors],
  ['cases', tensors],
  ['op-cases', tensors],
  ['certificate', [form.json]],
  ['manifest', [form.json]],
  ['shard', [shard]],
  ['checkpoint', tensors],
  ['curve', [form.lines(form.json)]],
  ['part', [form.storeEntry]],
  ['part-files', [form.storeEntry]],
  ['rows', [form.lines(form.json)]],
  ['parquet', [form.parquetRows(rows), form.parquetFooter]],
  ['job', [form.json]],
  ['queued-job', [form.json]],
  ['joined-results', [form.rawBytes]],
  ['job-windows', [form.json]],
  ['job-units', tensors],
  ['job-texts', [form.json]],
  ['job-scores', [form.json]],
  ['trace', tensors],
  ['tokenizer-config', [form.json]],
  ['chat-template', [form.plain]],
  ['generation-config', [form.json]],
  ['wikitext', [form.lines(form.words)]],
  ['plain-text', [form.plain]],
])
