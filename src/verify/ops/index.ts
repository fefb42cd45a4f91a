/**
 * Every law of the ops: those made from the rows of the catalogue, and those of single ops, page by page.
 */
import { kernelNames } from '../../ops/catalog.ts'
import * as adamwStep from './adamw_step.ts'
import * as add from './add.ts'
import { attentionLaws } from './attention.ts'
import { attentionI8Laws } from './attention_i8.ts'
import * as bce from './bce.ts'
import { cacheLaws } from './cache_append.ts'
import * as copyRows from './copy_rows.ts'
import * as crossEntropy from './cross_entropy.ts'
import * as embedding from './embedding.ts'
import * as exp from './exp.ts'
import * as halfPrecision from './half_precision.ts'
import * as int4Product from './int4_product.ts'
import * as int8Product from './int8_product.ts'
import * as layerNorm from './layer_norm.ts'
import * as linear from './linear.ts'
import * as maskUnits from './mask_units.ts'
import * as minMax from './min_max.ts'
import * as mse from './mse.ts'
import * as relu from './relu.ts'
import * as rmsNorm from './rms_norm.ts'
import * as rotary from './rotary.ts'
import * as siluGate from './silu_gate.ts'
import * as softmax from './softmax.ts'
import * as storedWeights from './stored_weights.ts'
import * as sums from './sums.ts'
import * as topK from './top_k.ts'
import * as transpose from './transpose.ts'
import * as zeroTerms from './zero_terms.ts'
import { agreementLaws } from './agreement.ts'
import { allIsDense, choosingOps, chosenIsZeroed, othersAreUnseen } from './chosen.ts'
import { attentionGradient, gradientLaws } from './gradients.ts'
import type { BackendLaw } from './law.ts'
import { tokenOps, tokensApart } from './tokens.ts'

/** The pages of single ops: each exports its laws and nothing else. */
const pages: readonly Readonly<Record<string, BackendLaw>>[] = [
  adamwStep,
  add,
  attentionLaws,
  attentionI8Laws,
  bce,
  cacheLaws,
  copyRows,
  crossEntropy,
  embedding,
  exp,
  halfPrecision,
  int4Product,
  int8Product,
  layerNorm,
  linear,
  maskUnits,
  minMax,
  mse,
  relu,
  rmsNorm,
  rotary,
  siluGate,
  softmax,
  storedWeights,
  sums,
  topK,
  transpose,
  zeroTerms,
]

/** The laws of what ops share: agreement with the definition, skipping, tokens, gradients. */
export const sharedLaws: readonly BackendLaw[] = [
  ...kernelNames.flatMap(agreementLaws),
  ...choosingOps().flatMap((name) => [allIsDense(name), chosenIsZeroed(name), othersAreUnseen(name)]),
  ...tokenOps().map(tokensApart),
  ...gradientLaws(),
  attentionGradient,
]

/** The laws of single ops. */
export const pageLaws: readonly BackendLaw[] = pages.flatMap((page) => Object.values(page))
