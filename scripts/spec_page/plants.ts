/**
 * Copies of the specification with one line changed: the bugs that readers plant.
 *
 * The module `src/web/spec_page/plants.ts` has a function for each bug that loads `try_law.ts` with it. A query on the path of a
 * module marks the copy; imports hand it on to the specification and to what the laws compute with it. Other modules are shared.
 */
import { readFileSync } from 'node:fs'
import { posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Plugin } from 'vite'
import { fileOf, proofs } from '../../src/web/spec_page/proofs.ts'

const root = fileURLToPath(new URL('../../', import.meta.url)).replaceAll('\\', '/')
const list = `${root}src/web/spec_page/plants.ts`
// Vite knows the language of a module by the end of its name.
const mark = /^(.*)\?plant=([\w.]+)&lang\.ts$/

const marked = (path: string, address: string): string => `${path}?plant=${address}&lang.ts`

/** The modules that are copied: the specification, what makes a program of it, and the laws that hold the engine to it. */
const copied =
  /\/src\/(?:spec\/\w+|engine\/(?:program|storages\/\w+)|verify\/model\/(?:engine_laws|engine_cases|plain_model)|web\/spec_page\/try_law)\.ts$/

/** A file with a bug. @throws Error if the line is not there exactly once */
export function plant(text: string, line: string, planted: string): string {
  const lines = text.split('\n')
  const places = lines.flatMap((own, i) => (own.trim() === line ? [i] : []))
  if (places.length !== 1) throw new Error(`${line}: expected one such line, got ${places.length}`)
  return lines.map((own, i) => (i === places[0] ? own.replace(line, () => planted) : own)).join('\n')
}

/** The plugin that plants the bugs. */
export function plants(): Plugin {
  return {
    name: 'shadowllm-plants',
    enforce: 'pre',
    resolveId(source, importer) {
      if (mark.test(source)) return source
      const [, from, address] = mark.exec(importer ?? '') ?? []
      if (from === undefined || !source.startsWith('.')) return null
      const path = posix.join(posix.dirname(from), source)
      return copied.test(path) ? marked(path, address) : path
    },
    load(id) {
      if (id === list) return { code: loaders(), moduleType: 'js' }
      const [, path, address] = mark.exec(id) ?? []
      if (path === undefined) return null
      const text = readFileSync(path, 'utf8')
      const proof = proofs.find((one) => one.address === address && path.endsWith(`/${fileOf(one)}`))
      return { code: proof === undefined ? text : plant(text, proof.line, proof.planted), moduleType: 'ts' }
    },
  }
}

/** The module that loads the copies. */
function loaders(): string {
  const rows = proofs.map(
    ({ address }) =>
      `${JSON.stringify(address)}: () => import(${JSON.stringify(marked(`${root}src/web/spec_page/try_law.ts`, address))}),`,
  )
  return `export const plants = {\n${rows.join('\n')}\n}\n`
}
