import grpc
from concurrent import futures
import metrics_pb2
import metrics_pb2_grpc

class MetricsServiceImpl(metrics_pb2_grpc.MetricsServiceServicer):
    """Implementation of MetricsService"""

    def __init__(self):
        self.sessions = {}

    def RegisterTrainingSession(self, request, context):
        """Handle session registration"""
        print(f"New session: {request.session_id}")
        print(f"Client: {request.client_name} v{request.client_version}")

        # Store session
        self.sessions[request.session_id] = request

        # Create response
        response = metrics_pb2.SessionResponse()
        response.success = True
        response.session_id = request.session_id
        response.message = "Session registered successfully"

        # Configure server limits
        response.server_config.max_batch_size = 16
        response.server_config.max_image_dimension = 512
        response.server_config.heartbeat_interval_ms = 2000
        response.server_config.buffer_size = 100

        return response

    def StreamMetrics(self, request_iterator, context):
        """Handle bidirectional streaming"""
        for request in request_iterator:
            # Process incoming data
            if request.HasField('batch_data'):
                batch = request.batch_data
                print(f"Received batch {batch.batch_idx} with {len(batch.images)} images")

                # Send acknowledgment
                response = metrics_pb2.MetricsResponse()
                response.session_id = request.session_id
                response.ack.batch_idx = batch.batch_idx
                response.ack.success = True
                yield response

def serve():
    """Start gRPC server"""
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=10))
    metrics_pb2_grpc.add_MetricsServiceServicer_to_server(
        MetricsServiceImpl(), server
    )
    server.add_insecure_port('[::]:50051')
    server.start()
    print("Server started on port 50051")
    server.wait_for_termination()

if __name__ == '__main__':
    serve()
