package traces

import (
	"context"

	tracev1 "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	"google.golang.org/grpc"
)

// Complete is an interceptor that completes the spans that clients send: BuildKit reads
// them outside of the request, and a missing value would end the process.
func Complete(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	if spans, ok := req.(*tracev1.ExportTraceServiceRequest); ok {
		complete(spans)
	}
	return handler(ctx, req)
}

func complete(req *tracev1.ExportTraceServiceRequest) {
	for _, r := range req.GetResourceSpans() {
		giveValues(r.GetResource().GetAttributes())
		for _, scope := range r.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				giveValues(s.GetAttributes())
				for _, e := range s.GetEvents() {
					giveValues(e.GetAttributes())
				}
				for _, l := range s.GetLinks() {
					giveValues(l.GetAttributes())
				}
			}
		}
	}
}

// giveValues gives attributes without a value an empty one, which OTLP has, too.
func giveValues(all []*commonv1.KeyValue) {
	for _, a := range all {
		if a != nil && a.Value == nil {
			a.Value = &commonv1.AnyValue{}
		}
	}
}
