/**
 * `npm run build:cuda-certify`: writes fixtures/cuda/certify.safetensors.gz, the cases on which cuda/certify.sh tests the
 * committed module.
 */
import { relative } from 'node:path'
import { bundlePath, writeBundle } from './cuda/certify/bundle.ts'
import { root } from './sources.ts'

const { bytes, packed } = await writeBundle()
process.stdout.write(`${relative(root, bundlePath)}: ${bytes} bytes, ${packed} compressed\n`)
