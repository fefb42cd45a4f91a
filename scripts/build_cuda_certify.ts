/**
 * `npm run build:cuda-certify`: writes fixtures/cuda/certify.head and certify.data.gz, the cases on which cuda/certify.sh tests
 * the committed module.
 */
import { statSync } from 'node:fs'
import { relative } from 'node:path'
import { makeBundle, partsIn, writeBundle } from './cuda/certify/bundle.ts'
import { root } from './sources.ts'

writeBundle(await makeBundle())
for (const path of Object.values(partsIn()))
  process.stdout.write(`${relative(root, path)}: ${statSync(path).size} bytes\n`)
