/**
 * Every law of the ops, by the page of this folder that states it: first those that are made from the rows of the catalogue,
 * then those of single ops.
 */
import { kernelNames } from '../../ops/catalog.ts'
import { agreementLaws } from './agreement.ts'
import { allIsDense, choosingOps, chosenIsZeroed, othersAreUnseen } from './chosen.ts'
import { attentionGradient, gradientLaws } from './gradients.ts'
import type { BackendLaw } from './law.ts'
import * as pages from './pages.ts'
import { tokenOps, tokensApart } from './tokens.ts'

/** The laws of each page. */
export const lawsOfPages: Readonly<Record<string, readonly BackendLaw[]>> = {
  agreement: kernelNames.flatMap(agreementLaws),
  chosen: choosingOps().flatMap((name) => [allIsDense(name), chosenIsZeroed(name), othersAreUnseen(name)]),
  tokens: tokenOps().map(tokensApart),
  gradients: [...gradientLaws(), attentionGradient],
  ...Object.fromEntries(Object.entries(pages).map(([page, laws]) => [page, Object.values(laws)])),
}

/** Every law of the ops. */
export const opLaws: readonly BackendLaw[] = Object.values(lawsOfPages).flat()
