package oteloidc

import (
	"context"

	"github.com/oidctoken/oidctoken"
	"go.opentelemetry.io/otel/trace"
)

// Mint returns a hook for [oidctoken.Config.Audit], which counts and times tokens
// and refusals, and then calls next, unless that is nil. A mint is a span if it is
// in a span.
func (t *Telemetry) Mint(next func(context.Context, oidctoken.Event)) func(context.Context, oidctoken.Event) {
	return func(ctx context.Context, e oidctoken.Event) {
		outcome, stage := outcomeOf(e.Err), stageType(e.Scope.Stage)
		t.mints.Add(ctx, 1, t.minted.of(outcome, stage).add...)
		t.mintTime.Record(ctx, e.Took.Seconds(), t.timed.of(outcome).record...)
		if trace.SpanFromContext(ctx).IsRecording() {
			_, span := t.tracer.Start(ctx, "oidctoken.mint", trace.WithTimestamp(e.Time.Add(-e.Took)))
			span.SetAttributes(stages.attribute(stage))
			conclude(span, outcome)
			span.End(trace.WithTimestamp(e.Time))
		}
		if next != nil {
			next(ctx, e)
		}
	}
}

// stageType returns the claim stage_type.
func stageType(s oidctoken.Stage) string {
	switch s.(type) {
	case nil:
		return "none"
	case oidctoken.CI:
		return "CI"
	case oidctoken.Deployment:
		return "Deployment"
	case oidctoken.Custom:
		return "Custom"
	case oidctoken.Approval:
		return "Approval"
	case oidctoken.IACM:
		return "IACM"
	case oidctoken.SecurityTests:
		return "SecurityTests"
	case oidctoken.FeatureFlag:
		return "FeatureFlag"
	case oidctoken.PipelineStage:
		return "Pipeline"
	}
	return other
}
