/**
 * Third-party data that a test may use where somebody has it: beside the checkout, or where SHADOWLLM_DATA says. Without
 * it such a test is a visible skip.
 */
import { join } from 'node:path'
import { root } from '../harness/syntax.ts'

/** The folder, whether it is there or not. */
export const developmentData: string = process.env.SHADOWLLM_DATA ?? join(root, '../shared/data')
