import grpc
import metrics_pb2
import metrics_pb2_grpc
import time

def run_client():
    """Connect to gRPC server and stream metrics"""

    # Create channel and stub
    channel = grpc.insecure_channel('localhost:50051')
    stub = metrics_pb2_grpc.MetricsServiceStub(channel)

    # Register session
    session_info = metrics_pb2.SessionInfo()
    session_info.session_id = "train_001"
    session_info.client_name = "pytorch_trainer"
    session_info.client_version = "1.0.0"
    session_info.timestamp_ms = int(time.time() * 1000)

    response = stub.RegisterTrainingSession(session_info)
    print(f"Session registered: {response.message}")

    # Stream metrics
    def generate_requests():
        for batch_idx in range(10):
            request = metrics_pb2.MetricsRequest()
            request.session_id = "train_001"
            request.timestamp_ms = int(time.time() * 1000)

            # Create batch data
            batch = request.batch_data
            batch.epoch = 0
            batch.batch_idx = batch_idx
            batch.batch_loss = 0.5 - (batch_idx * 0.01)

            # Add dummy image
            img = batch.images.add()
            img.image_bytes = b'fake_jpeg_data'

            # Add prediction
            pred = batch.predictions.add()
            pred.predicted_class = 3
            pred.confidence = 0.95

            # Add ground truth
            batch.ground_truth.append(3)

            yield request
            time.sleep(0.1)  # Simulate batch processing time

    # Stream with bidirectional communication
    responses = stub.StreamMetrics(generate_requests())
    for response in responses:
        if response.HasField('ack'):
            print(f"Batch {response.ack.batch_idx} acknowledged")

if __name__ == '__main__':
    run_client()
